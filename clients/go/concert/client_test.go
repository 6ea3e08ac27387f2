package concert_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/coordinator"
)

func TestWhatIsPublishedCanBeReadAgain(t *testing.T) {
	ctx, client := patience(t), shared(t)
	sequence := must[uint64](t)(client.Publish(ctx, "rendered", map[string]any{"path": "/ä", "size": 3}))
	event := must[*v1.Event](t)(client.Events.Get(ctx, sequence))
	var data struct {
		Path string
		Size int
	}
	if err := concert.Decode(event.GetCustom().GetData(), &data); err != nil || data.Path != "/ä" || data.Size != 3 {
		t.Errorf("got %+v, %v", data, err)
	}
	again := must[[]*v1.Event](t)(client.Events.List(ctx, concert.History{Filter: &v1.EventFilter{CustomNames: []string{"rendered"}}}))
	if len(again) != 1 || again[0].GetSequence() != sequence {
		t.Errorf("got %v", again)
	}
}

func TestARequestIDMakesARepetitionOneEvent(t *testing.T) {
	ctx, client := patience(t), shared(t)
	first := must[uint64](t)(client.Publish(ctx, "once", 1, concert.RequestID("r")))
	if again := must[uint64](t)(client.Publish(ctx, "once", 1, concert.RequestID("r"))); again != first {
		t.Errorf("got %d and %d", first, again)
	}
	if _, err := client.Publish(ctx, "other", 1, concert.RequestID("r")); !errors.Is(err, concert.ErrRequestIDReused) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsAreTypedWithTheirDetailsUnpacked(t *testing.T) {
	ctx, client := patience(t), shared(t)
	_, err := client.Run("nowhere").Get(ctx)
	var missing *concert.ResourceError
	var plain *concert.Error
	if !errors.As(err, &missing) || missing.Type != "run" || missing.Name != "nowhere" || !errors.Is(err, concert.ErrNotFound) {
		t.Errorf("got %#v", err)
	}
	if !errors.As(err, &plain) || plain.Code != codes.NotFound || status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	_, err = client.SubmitRun(ctx, concert.RunSpec{Tasks: []concert.TaskSpec{
		{ID: "a", Capability: "x", DependsOn: concert.OnTask("b")}, {ID: "b", Capability: "x", DependsOn: concert.OnTask("a")},
	}})
	var cycle *concert.DependencyCycleError
	if !errors.As(err, &cycle) || len(cycle.TaskIDs) != 2 {
		t.Errorf("got %v", err)
	}
	_, err = client.Publish(ctx, strings.Repeat("n", 200), nil)
	var invalid *concert.InvalidArgumentError
	if !errors.As(err, &invalid) || len(invalid.Violations) != 1 || invalid.Violations[0].Field == "" {
		t.Errorf("got %v", err)
	}
}

func TestASessionCarriesManyCallsAtOnce(t *testing.T) {
	ctx := patience(t)
	session := openSession(t, shared(t), concert.SessionOptions{Agent: &v1.AgentSpec{AgentId: "writer"}})
	if session.AgentID() != "writer" || session.ID() == 0 || session.Limits()["payload_bytes_max"] == 0 {
		t.Errorf("got %q, %d, %v", session.AgentID(), session.ID(), session.Limits())
	}
	var group sync.WaitGroup
	seen := sync.Map{}
	for number := range 500 {
		group.Go(func() {
			sequence, err := session.Publish(ctx, "n", number)
			if err != nil {
				t.Error(err)
			}
			if _, twice := seen.LoadOrStore(sequence, number); twice {
				t.Errorf("two events have the sequence %d", sequence)
			}
		})
	}
	group.Wait()
}

func TestASessionOutlivesItsCoordinatorAndLosesNothing(t *testing.T) {
	ctx := patience(t)
	process := coordinator.Start(t)
	client := connect(t, process.Address)
	session := openSession(t, client, concert.SessionOptions{Lease: 4 * time.Minute})
	id := session.ID()
	var group sync.WaitGroup
	for writer := range 4 {
		group.Go(func() {
			for number := range 50 {
				if _, err := session.Publish(ctx, "n", fmt.Sprint(writer, "/", number)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	must[uint64](t)(session.Publish(ctx, "before", nil))
	process.Restart()
	group.Wait()
	if session.ID() != id || session.Err() != nil {
		t.Errorf("session %d became %d: %v", id, session.ID(), session.Err())
	}
	events := must[[]*v1.Event](t)(client.Events.List(ctx, concert.History{
		Filter: &v1.EventFilter{CustomNames: []string{"n"}}, Limit: 1000,
	}))
	counts := map[string]int{}
	for _, event := range events {
		counts[event.GetCustom().GetData().GetJson().GetStringValue()]++
	}
	if len(events) != 200 || len(counts) != 200 {
		t.Errorf("200 facts became %d events of %d facts", len(events), len(counts))
	}
}

func TestASubscriptionGoesOnWithoutAGapOrARepetition(t *testing.T) {
	ctx := patience(t)
	process := coordinator.Start(t)
	client := connect(t, process.Address)
	subscription := must[*concert.Subscription](t)(client.Subscribe(ctx, &v1.EventFilter{CustomNames: []string{"n"}}, concert.FromLatest()))
	defer subscription.Close()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		for number := range 60 {
			if _, err := client.Publish(ctx, "n", number); err != nil {
				t.Error(err)
			}
			if _, err := client.Publish(ctx, "other", number); err != nil {
				t.Error(err)
			}
		}
	})
	for number := range 60 {
		if number == 20 {
			process.Restart()
		}
		event := must[*v1.Event](t)(subscription.Next(ctx))
		if got := event.GetCustom().GetData().GetJson().GetNumberValue(); int(got) != number {
			t.Fatalf("event %d says %v", number, got)
		}
	}
	cursor := subscription.Cursor()
	later := must[*concert.Subscription](t)(client.Subscribe(ctx, nil, concert.AfterCursor(cursor)))
	defer later.Close()
	if event := must[*v1.Event](t)(later.Next(ctx)); event.GetSequence() <= cursor.GetSequence() {
		t.Errorf("event %d comes after the cursor %v", event.GetSequence(), cursor)
	}
}

func TestNextMayBeAskedAgainAfterItsContextEnded(t *testing.T) {
	ctx, client := patience(t), shared(t)
	subscription := must[*concert.Subscription](t)(client.Subscribe(ctx, &v1.EventFilter{CustomNames: []string{"n"}}, concert.FromLatest()))
	defer subscription.Close()
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := subscription.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	sequence := must[uint64](t)(client.Publish(ctx, "n", nil))
	if event := must[*v1.Event](t)(subscription.Next(ctx)); event.GetSequence() != sequence {
		t.Errorf("got event %d", event.GetSequence())
	}
}

func TestANamedSubscriptionGoesOnWhereItStopped(t *testing.T) {
	ctx, client := patience(t), shared(t)
	open := func() *concert.NamedSubscription {
		return must[*concert.NamedSubscription](t)(client.NamedSubscription(
			ctx, "paid", &v1.EventFilter{CustomNames: []string{"paid"}}, concert.FromEarliest(),
		))
	}
	first := open()
	for number := range 4 {
		must[uint64](t)(client.Publish(ctx, "paid", number))
	}
	read := func(from *concert.NamedSubscription, wanted int) {
		t.Helper()
		event := must[*v1.Event](t)(from.Next(ctx))
		if got := event.GetCustom().GetData().GetJson().GetNumberValue(); int(got) != wanted {
			t.Errorf("got %v instead of %d", got, wanted)
		}
	}
	read(first, 0)
	read(first, 1)
	read(first, 2)
	if err := first.Close(ctx); err != nil {
		t.Error(err)
	}
	second := open()
	read(second, 2) // the one that was handed out last was not processed
	read(second, 3)
	if err := second.Close(ctx); err != nil {
		t.Error(err)
	}
	if !must[bool](t)(client.Subscriptions.Delete(ctx, "paid")) {
		t.Error("it was not there")
	}
}

func TestAWrongAddressIsNamedWithItsCure(t *testing.T) {
	client := connect(t, "127.0.0.1:1", concert.WithRetryTimeout(200*time.Millisecond))
	_, err := client.ServerInfo(patience(t))
	if !errors.Is(err, concert.ErrUnavailable) || !strings.Contains(err.Error(), "is a coordinator running at 127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	client := connect(t, "127.0.0.1:1")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	if _, err := client.ServerInfo(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestACallWithoutADeadlineEndsByTheBoundOfTheClient(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := connect(t, silent.Addr().String(), concert.WithCallTimeout(100*time.Millisecond))
	_, err = client.ServerInfo(t.Context())
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "GetServerInfo was not answered in time") {
		t.Errorf("got %v", err)
	}
}

func TestOneOfSeveralAddressesIsEnough(t *testing.T) {
	client := connect(t, "127.0.0.1:1, "+coordinator.Shared(t)+",127.0.0.1:2")
	for range 3 {
		must[uint64](t)(client.Publish(patience(t), "n", nil))
	}
	openSession(t, client, concert.SessionOptions{})
}
