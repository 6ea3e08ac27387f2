// A consumer that goes on where it stopped: `go run ./examples/resume HOST:PORT COUNT` processes so many orders and leaves.
//
// Start it again and it takes the next ones; kill the coordinator meanwhile and it waits for it. Each order comes, in order,
// whatever happened between.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: resume HOST:PORT COUNT")
	}
	count, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), os.Args[1], count); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string, count int) error {
	client, err := concert.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	filter := &v1.EventFilter{CustomNames: []string{"order"}}
	orders, err := client.NamedSubscription(ctx, "orders", filter, concert.FromEarliest())
	if err != nil {
		return err
	}
	defer orders.Close(ctx)
	fmt.Println("waiting for orders")
	for order, err := range orders.All(ctx) {
		if err != nil {
			return err
		}
		var placed struct{ Number int }
		if err := concert.Decode(order.GetCustom().GetData(), &placed); err != nil {
			return err
		}
		fmt.Println("order", placed.Number)
		if err := orders.Ack(ctx, order); err != nil { // durable: it does not come again
			return err
		}
		if count--; count == 0 {
			break
		}
	}
	return nil
}
