package concert_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"concert.dev/clients/go/concert"
	"concert.dev/clients/go/internal/coordinator"
)

func TestStateIsReadAsItWasWritten(t *testing.T) {
	ctx, client := patience(t), shared(t)
	type page struct {
		Title string   `json:"title"`
		Views int      `json:"views"`
		Tags  []string `json:"tags"`
	}
	wanted := page{"Ünïcode", 1 << 53, []string{"a"}}
	first := must[uint64](t)(client.State.Set(ctx, "pages/1", wanted))
	second := must[uint64](t)(client.State.Set(ctx, "pages/1", page{}))
	entry, found, err := client.State.Get(ctx, "pages/1", concert.At(first))
	var got page
	if err != nil || !found || entry.Decode(&got) != nil || got.Title != wanted.Title || got.Views != wanted.Views {
		t.Errorf("got %+v, %v, %v", entry, found, err)
	}
	if _, found, err := client.State.Get(ctx, "pages/2"); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	history, err := client.State.History(ctx, concert.StateHistory{Key: "pages/1"})
	if err != nil || len(history) != 2 || history[1].GetRevision() != second {
		t.Errorf("got %v, %v", history, err)
	}
	must[uint64](t)(client.State.Delete(ctx, concert.Deletion{Prefix: "pages"}))
	if entries, err := client.State.List(ctx, ""); len(entries) != 0 || err != nil {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestModifyLosesNoUpdate(t *testing.T) {
	ctx, address := patience(t), coordinator.Shared(t)
	var group sync.WaitGroup
	for range 4 {
		client := connect(t, address)
		group.Go(func() {
			for range 5 {
				add := func(count int, _ bool) (int, error) { return count + 1, nil }
				if _, _, err := concert.Modify(ctx, client.State, "count", add); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if entry, _, err := connect(t, address).State.Get(ctx, "count"); entry.Value != 20.0 || err != nil {
		t.Errorf("got %v, %v", entry.Value, err)
	}
}

func TestWhoLosesAConflictIsHandedWhatHeNeeds(t *testing.T) {
	ctx, address := patience(t), coordinator.Shared(t)
	one, two := connect(t, address, concert.WithWriter("one")), connect(t, address, concert.WithWriter("two"))
	base := must[uint64](t)(one.State.Set(ctx, "site/title", "a"))
	must[uint64](t)(one.State.Set(ctx, "site/title", "b"))
	change := concert.Change{Set: map[string]any{"site/title": "c"}, Base: concert.Revision(base)}
	_, err := two.State.Update(ctx, change)
	var conflict *concert.StateConflictError
	if !errors.As(err, &conflict) || conflict.Keys[0].Current != "b" || conflict.Keys[0].TheirWriter != "one" {
		t.Fatalf("got %v", err)
	}
	change.Base = concert.Revision(conflict.CurrentRevision)
	must[uint64](t)(two.State.Update(ctx, change))
}

func TestAWatcherIsToldEveryChangeOnceOverARestart(t *testing.T) {
	ctx := patience(t)
	process := coordinator.Start(t)
	client := connect(t, process.Address)
	must[uint64](t)(client.State.Set(ctx, "n/before", 0))
	watch := must[*concert.StateWatch](t)(client.State.Watch(ctx, nil, "n", concert.FromLatest()))
	defer watch.Close()
	if first := must[concert.KeyChange](t)(watch.Next(ctx)); first.Kind != concert.KeyThere || first.Key != "n/before" {
		t.Errorf("got %+v", first)
	}
	held := map[string]any{}
	for number := range 6 {
		if number == 3 {
			process.Restart()
		}
		must[uint64](t)(client.State.Set(ctx, "n/x", number))
		change := must[concert.KeyChange](t)(watch.Next(ctx))
		if change.Apply(held); held["n/x"] != float64(number) {
			t.Errorf("got %+v", change)
		}
	}
}

func TestWhatNoJSONHasIsRefusedBeforeItIsSent(t *testing.T) {
	deep := any("x")
	for range 29 {
		deep = []any{deep}
	}
	for name, value := range map[string]any{
		"NaN": math.NaN(), "infinity": []float64{math.Inf(1)}, "integer": uint64(1<<53 + 1), "negative": -(1<<53 + 1),
		"function": func() {}, "deep": deep, "text": "\xff", "large": strings.Repeat("x", 1<<20), "nested": struct{ N int64 }{1 << 60},
	} {
		if _, err := concert.ToPayload(value); !errors.Is(err, concert.ErrInvalidField) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, value := range []any{nil, 1 << 53, "ä", map[string]any{"a": []any{true, nil, 1.5}}, []byte{255}} {
		if _, err := concert.ToPayload(value); err != nil {
			t.Errorf("%v: %v", value, err)
		}
	}
}
