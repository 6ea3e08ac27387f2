package concert

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
)

// RunUpdate is what happened to a run: the events since the update before, and the run as they leave it where the coordinator sent it
// (in the first update and the last, and after a reconnect). True at Sequence.
type RunUpdate struct {
	Run      *v1.Run
	Events   []*v1.Event
	Sequence uint64
}

// Over tells whether the run is over by this update.
func (u RunUpdate) Over() bool { return RunOver(u.Run.GetStatus()) }

// RunOver tells whether a run that stands there is over.
func RunOver(status v1.RunStatus) bool {
	switch status {
	case v1.RunStatus_RUN_STATUS_SUCCEEDED, v1.RunStatus_RUN_STATUS_PARTIAL_FAILURE, v1.RunStatus_RUN_STATUS_FAILED,
		v1.RunStatus_RUN_STATUS_CANCELLED, v1.RunStatus_RUN_STATUS_TIMED_OUT:
		return true
	}
	return false
}

// Wait returns the run when it is over, however often the stream breaks meanwhile; ctx bounds it. Of a run that is tried again that is
// its present generation.
func (r *RunHandle) Wait(ctx context.Context) (*v1.Run, error) {
	for update, err := range r.Watch(ctx) {
		if err != nil {
			return nil, err
		}
		if update.Over() {
			return update.Run, nil
		}
	}
	return nil, refuse(codes.Internal, ErrInternal, "the coordinator stopped reporting on run %s before it was over", r.ID)
}

// Watch is for range: it follows the run until it is over, the run as it is first, then every event of it once, in order. A broken
// stream is opened again, and the events between are read from history. An error is the last thing it yields.
func (r *RunHandle) Watch(ctx context.Context) iter.Seq2[RunUpdate, error] {
	return func(yield func(RunUpdate, error) bool) {
		var pause pauses.Backoff
		var seen uint64
		giveUpAt := time.Now().Add(r.origin.retryTimeout())
		for {
			done, err := r.watchOnce(ctx, seen, func(update RunUpdate) bool {
				seen = max(seen, update.Sequence)
				pause.Reset()
				return yield(update, nil) && !update.Over()
			})
			if done {
				return
			}
			wait := pause.Pause(retryAfter(err))
			switch {
			case ctx.Err() != nil:
				yield(RunUpdate{}, ended(ctx, "WatchRun"))
				return
			case !transient(err), seen == 0 && time.Now().Add(wait).After(giveUpAt):
				yield(RunUpdate{}, err)
				return
			}
			slog.Info("concert: a run is followed again", "run", r.ID, "in", wait, "because", err)
			if pauses.Sleep(ctx, wait) != nil {
				yield(RunUpdate{}, ended(ctx, "WatchRun"))
				return
			}
		}
	}
}

// watchOnce reads one stream; the events missed since seen come with its first update. Whether there is nothing more to be told.
func (r *RunHandle) watchOnce(ctx context.Context, seen uint64, tell func(RunUpdate) bool) (bool, error) {
	stream, err := r.origin.stream(ctx, watchRunMethod, &v1.WatchRunRequest{RunId: r.ID})
	if err != nil {
		return false, err
	}
	defer stream.close()
	missed := seen
	var run *v1.Run
	for {
		got, err := stream.next()
		if err != nil {
			return false, err
		}
		response := got.(*v1.WatchRunResponse)
		if response.GetRun() != nil {
			run = joined(run, response.GetRun())
		}
		if response.GetRunContinues() {
			continue
		}
		var events []*v1.Event
		for _, event := range response.GetEvents() {
			if event.GetSequence() > seen {
				events = append(events, event)
			}
		}
		if missed > 0 {
			upTo := response.GetSequence()
			if len(events) > 0 {
				upTo = events[0].GetSequence() - 1
			}
			earlier, err := r.history(ctx, missed, upTo)
			if err != nil {
				return false, err
			}
			events, missed = append(earlier, events...), 0
		}
		seen = max(seen, response.GetSequence())
		if !tell(RunUpdate{run, events, response.GetSequence()}) {
			return true, nil
		}
		run = nil
	}
}

func (r *RunHandle) history(ctx context.Context, after, upTo uint64) ([]*v1.Event, error) {
	if upTo <= after {
		return nil, nil
	}
	return (&Events{r.origin}).List(ctx, History{
		Filter: &v1.EventFilter{RunIds: []string{r.ID}}, After: after, UpTo: upTo, Limit: listEntriesMax,
	})
}
