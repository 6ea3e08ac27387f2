// A holder of the past is refused: `go run ./examples/fencing [HOST:PORT]`, with a coordinator there.
//
// The first writer takes a lock for a second and then hangs, as a process does that is suspended or swaps. The second is given the
// lock. When the first wakes up and writes, it is too late, and the coordinator knows.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

func main() {
	if err := run(context.Background(), strings.Join(os.Args[1:], "")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	client, err := concert.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	first, err := client.Locks.Acquire(ctx, []string{"ledger"}, concert.Lease(time.Second)) // nobody renews it: it hangs
	if err != nil {
		return err
	}
	fmt.Println("the first holds the ledger")
	ctx, second, err := client.Lock(ctx, "ledger") // waits until the lease has run out
	if err != nil {
		return err
	}
	defer second.Unlock()
	higher := second.FencingToken() > first[0].GetFencingToken()
	fmt.Println("the second holds the ledger, and its token is higher:", higher)
	if _, err := client.State.Set(ctx, "ledger/balance", 100, concert.Fenced(second)); err != nil {
		return err
	}
	past := &v1.Fence{Resource: "ledger", FencingToken: first[0].GetFencingToken()}
	_, err = client.State.Set(ctx, "ledger/balance", 0, concert.FencedBy(past))
	var refused *concert.StaleTokenError
	if !errors.As(err, &refused) {
		return fmt.Errorf("the first was not refused: %w", err)
	}
	fmt.Println("the first wakes up and is refused:", refused.Reason, refused.Resource)
	balance, _, err := client.State.Get(ctx, "ledger/balance")
	if err != nil {
		return err
	}
	fmt.Println("balance:", balance.Value)
	return nil
}
