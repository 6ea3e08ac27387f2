package concert

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
)

// Strategy is how an update joins what is there.
type Strategy = v1.MergeStrategy

// The strategies.
const (
	// Merge merges maps deeply, concatenates lists and replaces scalars. The zero Strategy is the same.
	Merge = v1.MergeStrategy_MERGE_STRATEGY_MERGE
	// Replace has the given keys take the given values; with a Prefix, other keys under it go.
	Replace = v1.MergeStrategy_MERGE_STRATEGY_REPLACE
	// Append adds the given items to the list there, or to nothing.
	Append = v1.MergeStrategy_MERGE_STRATEGY_APPEND
)

// Change is a change of shared state: 1 to 1000 keys, all or none.
type Change struct {
	// Set are values by key: whatever encoding/json can encode; see ToValue.
	Set map[string]any
	// Strategy is how they join what is there.
	Strategy Strategy
	// Prefix goes with Replace: other keys under it go.
	Prefix string
	// Base says what the change builds on: nothing that overlaps may have changed after this revision, and 0 relies on nothing
	// being there. nil leaves it to the policy's conflict window, and inside an attempt to its token.
	Base *uint64
	// Delete are keys that go with the same revision; each must be there.
	Delete []string
}

// Revision is a Base.
func Revision(revision uint64) *uint64 { return &revision }

// Encode makes the contract's StateChange.
func (c Change) Encode() (*v1.StateChange, error) {
	made := &v1.StateChange{Strategy: c.Strategy, Prefix: c.Prefix, BaseRevision: c.Base, Deletes: c.Delete}
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		value, err := ToValue(c.Set[key])
		if err != nil {
			return nil, err
		}
		made.Updates = append(made.Updates, &v1.StateUpdate{Key: key, Value: value})
	}
	return made, nil
}

// Entry is a key as it was read.
type Entry struct {
	Key string
	// Value is JSON: map[string]any, []any, float64, string, bool, nil.
	Value any
	// Revision is the sequence of the event that changed it last.
	Revision  uint64
	Writer    string
	UpdatedAt time.Time
}

// Decode puts the value into what the pointer points to, as encoding/json would.
func (e Entry) Decode(into any) error { return decodeJSON(e.Value, into) }

// State is the shared state of a namespace.
type State struct{ origin origin }

// ReadOption says how shared state is read.
type ReadOption func(*readOptions)

type readOptions struct {
	revision uint64
	limit    int
}

// At reads as it was at a revision. It fails with ErrCursorInFuture, or ErrCursorCompacted when that is kept no more.
func At(revision uint64) ReadOption { return func(o *readOptions) { o.revision = revision } }

// Limit is how many entries at most.
func Limit(limit int) ReadOption { return func(o *readOptions) { o.limit = limit } }

func readOptionsOf(options []ReadOption) readOptions {
	var o readOptions
	for _, option := range options {
		option(&o)
	}
	return o
}

// Get reads one key, and tells whether it exists.
func (s *State) Get(ctx context.Context, key string, options ...ReadOption) (Entry, bool, error) {
	entries, _, err := s.GetMany(ctx, []string{key}, options...)
	entry, found := entries[key]
	return entry, found, err
}

// GetMany reads those of 1 to 1000 keys that exist, at one revision: the Base of a change that builds on them.
func (s *State) GetMany(ctx context.Context, keys []string, options ...ReadOption) (map[string]Entry, uint64, error) {
	if len(keys) == 0 || len(keys) > keysPerReadMax {
		return nil, 0, invalid("a read names 1 to %d keys, not %d", keysPerReadMax, len(keys))
	}
	request := &v1.GetStateRequest{Keys: keys, Revision: readOptionsOf(options).revision}
	found := map[string]Entry{}
	var revision uint64
	for {
		response, err := ask[*v1.GetStateResponse](ctx, s.origin, getStateMethod, request)
		if err != nil {
			return nil, 0, err
		}
		if revision == 0 {
			revision = response.GetSequence()
		}
		for _, entry := range response.GetEntries() {
			found[entry.GetKey()] = entryOf(entry)
		}
		if response.GetNextPageToken() == "" {
			return found, revision, nil
		}
		// more than fits into a message: the rest as it was then
		request.Revision, request.PageToken = revision, response.GetNextPageToken()
	}
}

// List reads everything at and under a path, by key; everything there is when it is empty. Longer lists are read in pages, each true
// at its own revision unless one is given.
func (s *State) List(ctx context.Context, prefix string, options ...ReadOption) ([]Entry, error) {
	o := readOptionsOf(options)
	return readPages(ctx, o.limit, func(ctx context.Context, size uint32, token string) ([]Entry, string, error) {
		request := &v1.GetStateRequest{Prefix: prefix, Revision: o.revision, PageSize: size, PageToken: token}
		page, err := ask[*v1.GetStateResponse](ctx, s.origin, getStateMethod, request)
		var entries []Entry
		for _, entry := range page.GetEntries() {
			entries = append(entries, entryOf(entry))
		}
		return entries, page.GetNextPageToken(), err
	})
}

// Update changes keys, all or none; it returns the new revision. It fails with ErrStateConflict, ErrNotFound (a delete of what is
// not there), ErrCursorCompacted (a base too old to tell), ErrInvalidField (append to what is no list), ErrInvalidField.
func (s *State) Update(ctx context.Context, change Change, options ...CallOption) (uint64, error) {
	encoded, err := change.Encode()
	if err != nil {
		return 0, err
	}
	o := collect(options)
	response, err := ask[*v1.UpdateStateResponse](ctx, s.origin, updateStateMethod, &v1.UpdateStateRequest{
		RequestId: o.requestID, AttemptToken: s.origin.attemptToken, Change: encoded, Writer: s.origin.writer,
		Priority: o.priority, Fences: o.fences,
	})
	return response.GetRevision(), err
}

// Set gives one key a value, whatever there was.
func (s *State) Set(ctx context.Context, key string, value any, options ...CallOption) (uint64, error) {
	return s.Update(ctx, Change{Set: map[string]any{key: value}, Strategy: Replace}, options...)
}

// Deletion is what is to go: 1 to 1000 Keys, each of which must be there, or whatever is at and under a Prefix.
type Deletion struct {
	Keys   []string
	Prefix string
	// Base as in Change.
	Base *uint64
}

// Delete deletes, all or none; it returns the revision. It fails with ErrNotFound when there is nothing to delete; otherwise as
// Update.
func (s *State) Delete(ctx context.Context, deletion Deletion, options ...CallOption) (uint64, error) {
	o := collect(options)
	response, err := ask[*v1.DeleteStateResponse](ctx, s.origin, deleteStateMethod, &v1.DeleteStateRequest{
		RequestId: o.requestID, AttemptToken: s.origin.attemptToken, Keys: deletion.Keys, Prefix: deletion.Prefix,
		BaseRevision: deletion.Base, Writer: s.origin.writer, Priority: o.priority, Fences: o.fences,
	})
	return response.GetRevision(), err
}

// Modify replaces a value by what change makes of it, and does so again when another was faster. change may be called several times;
// it is given the zero T and false when there is no such key. It returns what was written, and its revision.
//
// It fails with ErrStateConflict after 20 tries, and at once where somebody else's lock guards the key; what change fails with is
// returned as it is.
func Modify[T any](
	ctx context.Context, state *State, key string, change func(current T, found bool) (T, error), options ...CallOption,
) (T, uint64, error) {
	var none T
	var pause pauses.Backoff
	for attempt := 1; ; attempt++ {
		entries, revision, err := state.GetMany(ctx, []string{key})
		if err != nil {
			return none, 0, err
		}
		var current T
		entry, found := entries[key]
		if found {
			if err := entry.Decode(&current); err != nil {
				return none, 0, err
			}
		}
		made, err := change(current, found)
		if err != nil {
			return none, 0, err
		}
		built := Change{Set: map[string]any{key: made}, Strategy: Replace, Base: &revision}
		written, err := state.Update(ctx, built, options...)
		if err == nil {
			return made, written, nil
		}
		var conflict *StateConflictError
		if !errors.As(err, &conflict) || conflict.ConflictType == "resource_conflict" || attempt >= stateModifyAttemptsMax {
			return none, 0, err
		}
		if pauses.Sleep(ctx, pause.Pause(0)) != nil {
			return none, 0, ended(ctx, "Modify")
		}
	}
}

// StateHistory selects changes of the past.
type StateHistory struct {
	// Key, or everything at and under Prefix; everything there is when both are empty.
	Key, Prefix string
	// After and Until bound the revisions: (After, Until]; 0 means no bound.
	After, Until uint64
	// NewestFirst begins with the newest.
	NewestFirst bool
	// Limit is how many at most; 0 means no limit.
	Limit int
}

// History tells of changes of the past. It fails with ErrCursorInFuture, ErrCursorCompacted.
func (s *State) History(ctx context.Context, history StateHistory) ([]*v1.StateRevision, error) {
	request := &v1.ListStateHistoryRequest{
		Key: history.Key, Prefix: history.Prefix, AfterRevision: history.After, UntilRevision: history.Until,
		Descending: history.NewestFirst,
	}
	return readPages(ctx, history.Limit, func(ctx context.Context, size uint32, token string) ([]*v1.StateRevision, string, error) {
		asked := proto.CloneOf(request)
		asked.PageSize, asked.PageToken = size, token
		page, err := ask[*v1.ListStateHistoryResponse](ctx, s.origin, listStateHistoryMethod, asked)
		return page.GetRevisions(), page.GetNextPageToken(), err
	})
}

func entryOf(entry *v1.StateEntry) Entry {
	return Entry{
		Key: entry.GetKey(), Value: fromValue(entry.GetValue()), Revision: entry.GetRevision(), Writer: entry.GetWriter(),
		UpdatedAt: entry.GetUpdatedAt().AsTime(),
	}
}
