package concert_test

import (
	"context"
	"testing"
	"time"

	"concert.dev/clients/go/concert"
	"concert.dev/clients/go/internal/coordinator"
)

func TestMain(m *testing.M) { coordinator.Main(m) }

func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, address string, options ...concert.Option) *concert.Client {
	t.Helper()
	client, err := concert.Connect(address, append([]concert.Option{
		concert.WithNamespace(t.Name()), concert.WithRetryTimeout(3 * time.Minute),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func shared(t *testing.T, options ...concert.Option) *concert.Client {
	t.Helper()
	return connect(t, coordinator.Shared(t), options...)
}

func openSession(t *testing.T, client *concert.Client, options concert.SessionOptions) *concert.Session {
	t.Helper()
	session, err := client.OpenSession(patience(t), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(context.Background()) })
	return session
}

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
