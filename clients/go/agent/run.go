package agent

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"concert.dev/clients/go/concert"
)

// Run hosts agents until they have left: on SIGTERM they drain (running tasks finish); a second SIGTERM, SIGINT, or the end of ctx
// cancels what runs. They also leave when they are drained from elsewhere. It fails with what kept one from registering.
//
// Start hosts an agent without looking at signals.
func Run(ctx context.Context, client *concert.Client, agents ...Agent) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	var hosts []*Host
	cancel := func() {
		for _, host := range hosts {
			host.Cancel()
		}
	}
	for _, each := range agents {
		host, err := Start(ctx, client, each)
		if err != nil {
			cancel()
			return err
		}
		hosts = append(hosts, host)
	}
	left := make(chan error, 1)
	go func() {
		var failures []error
		for _, host := range hosts {
			failures = append(failures, host.Wait())
		}
		left <- errors.Join(failures...)
	}()
	for drains := 0; ; {
		select {
		case err := <-left:
			return err
		case <-ctx.Done():
			cancel()
			return <-left
		case received := <-signals:
			if received != syscall.SIGTERM || drains > 0 {
				cancel()
				continue
			}
			drains++
			for _, host := range hosts {
				host.Drain()
			}
		}
	}
}
