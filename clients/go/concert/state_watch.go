package concert

import (
	"context"
	"iter"
	"maps"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "concert.dev/clients/go/concertv1"
)

// ChangeKind is what a watcher is told of a key.
type ChangeKind string

// The kinds.
const (
	// KeyThere is what a key held when the watch began.
	KeyThere ChangeKind = "there"
	// KeySet is that it holds the value.
	KeySet ChangeKind = "set"
	// KeyDeleted is that it is gone.
	KeyDeleted ChangeKind = "deleted"
	// PathCleared is that whatever was at and under the path is gone.
	PathCleared ChangeKind = "cleared"
	// KeySuperseded is that it was set, but has changed again since, and what it held is in nobody's memory any more: the later
	// change follows.
	KeySuperseded ChangeKind = "superseded"
)

// KeyChange is what a watcher is told of a key at a revision.
type KeyChange struct {
	// Key, or with PathCleared the path.
	Key  string
	Kind ChangeKind
	// Value is JSON, for KeyThere and KeySet.
	Value     any
	Revision  uint64
	Writer    string
	ChangedAt time.Time
}

// Apply brings a map of what the watched keys hold up to date.
func (c KeyChange) Apply(held map[string]any) {
	switch c.Kind {
	case KeyThere, KeySet:
		held[c.Key] = c.Value
	case KeyDeleted:
		delete(held, c.Key)
	case PathCleared:
		maps.DeleteFunc(held, func(key string, _ any) bool {
			return key == c.Key || strings.HasPrefix(key, c.Key+"/")
		})
	}
}

type toldChange struct {
	revision uint64
	key      string
	kind     ChangeKind
}

// StateWatch is changes as they come: first what the keys hold, all of it at one revision, then each change once and in order, over
// reconnects and restarts.
//
// For one goroutine at a time.
type StateWatch struct {
	request   *v1.WatchStateRequest
	cursor    *v1.Cursor
	begun     bool
	there     []KeyChange
	ready     []KeyChange
	told      map[toldChange]struct{}
	following *following
}

// Watch follows keys (1 to 1000), or with none everything at and under a prefix. With a Start made by After or AfterCursor only
// changes are told; otherwise what is there comes first. It returns when that is known: nothing written afterwards is missed. Close
// it.
func (s *State) Watch(ctx context.Context, keys []string, prefix string, start Start) (*StateWatch, error) {
	w := &StateWatch{
		request: &v1.WatchStateRequest{Keys: keys, Prefix: prefix}, cursor: &v1.Cursor{}, told: map[toldChange]struct{}{},
	}
	if start.cursor != nil {
		w.cursor, w.begun = proto.CloneOf(start.cursor), true
	}
	w.following = &following{caller: s.origin.caller, method: watchStateMethod, request: w.resumed}
	for first := true; first || !w.begun; first = false {
		if err := w.fetch(ctx); err != nil {
			w.following.close()
			return nil, err
		}
	}
	return w, nil
}

// Next is the next change. It fails when ctx ends (and may be called again then), and with what cannot be resumed.
func (w *StateWatch) Next(ctx context.Context) (KeyChange, error) {
	for len(w.ready) == 0 {
		if err := w.fetch(ctx); err != nil {
			return KeyChange{}, err
		}
	}
	next := w.ready[0]
	w.ready = w.ready[1:]
	return next, nil
}

// All is for range, as Subscription.All.
func (w *StateWatch) All(ctx context.Context) iter.Seq2[KeyChange, error] {
	return func(yield func(KeyChange, error) bool) {
		for {
			change, err := w.Next(ctx)
			if !yield(change, err) || err != nil {
				return
			}
		}
	}
}

// Cursor is the position up to which everything was read from the coordinator: once Next has handed all of it out, AfterCursor
// resumes there another time.
func (w *StateWatch) Cursor() *v1.Cursor { return proto.CloneOf(w.cursor) }

// Close ends the watch.
func (w *StateWatch) Close() { w.following.close() }

// fetch takes what a response tells that was not told before. What is there is told once all of it has come.
func (w *StateWatch) fetch(ctx context.Context) error {
	got, err := w.following.next(ctx)
	if err != nil {
		return err
	}
	response := got.(*v1.WatchStateResponse)
	for _, entry := range response.GetEntries() {
		e := entryOf(entry)
		w.there = append(w.there, KeyChange{e.Key, KeyThere, e.Value, e.Revision, e.Writer, e.UpdatedAt})
	}
	var found []KeyChange
	for _, change := range response.GetChanges() {
		if made := changeOf(change); w.isNew(made) {
			found = append(found, made)
		}
	}
	if mark := response.GetBookmark(); mark != nil {
		w.begun = true
		w.ready = append(w.ready, w.there...)
		w.there = nil
		w.cursor.LogId = mark.GetLogId()
		w.cursor.Sequence = max(w.cursor.GetSequence(), mark.GetLastSequence())
		maps.DeleteFunc(w.told, func(each toldChange, _ struct{}) bool { return each.revision <= w.cursor.GetSequence() })
	}
	w.ready = append(w.ready, found...)
	return nil
}

// isNew: a stream that breaks between two bookmarks may tell again what came after the first.
func (w *StateWatch) isNew(change KeyChange) bool {
	told := toldChange{change.Revision, change.Key, change.Kind}
	if _, known := w.told[told]; known || change.Revision <= w.cursor.GetSequence() {
		return false
	}
	w.told[told] = struct{}{}
	return true
}

func (w *StateWatch) resumed() proto.Message {
	w.there = nil
	request := proto.CloneOf(w.request)
	if w.begun {
		request.After = proto.CloneOf(w.cursor)
	}
	return request
}

func changeOf(change *v1.WatchedChange) KeyChange {
	made := KeyChange{
		Key: change.GetKey(), Revision: change.GetRevision(), Writer: change.GetWriter(), ChangedAt: change.GetChangedAt().AsTime(),
	}
	switch outcome := change.GetOutcome().(type) {
	case *v1.WatchedChange_Value:
		made.Kind, made.Value = KeySet, fromValue(outcome.Value)
	case *v1.WatchedChange_Deleted:
		made.Kind = KeyDeleted
	case *v1.WatchedChange_Cleared:
		made.Kind = PathCleared
	case *v1.WatchedChange_Superseded:
		made.Kind = KeySuperseded
	}
	return made
}
