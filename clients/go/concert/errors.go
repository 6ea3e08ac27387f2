package concert

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"concert.dev/clients/go/concertv1"
)

// Reason is why a call was refused, a word of the contract's ErrorReason. It is an error for errors.Is:
//
//	if errors.Is(err, concert.ErrRunOver) { ... }
type Reason string

// Error makes a Reason a target of errors.Is.
func (r Reason) Error() string { return string(r) }

// The reasons. The type that errors.As finds, where one knows more than Error, is named with each.
const (
	ErrInvalidField      Reason = "INVALID_FIELD"      // InvalidArgumentError: malformed, or over a limit
	ErrDependencyCycle   Reason = "DEPENDENCY_CYCLE"   // DependencyCycleError
	ErrDependencyUnknown Reason = "DEPENDENCY_UNKNOWN" // InvalidArgumentError: a dependency refers to nothing
	ErrRequestIDReused   Reason = "REQUEST_ID_REUSED"  // another request was made under the id
	ErrCursorInFuture    Reason = "CURSOR_IN_FUTURE"   // the cursor points beyond the log
	ErrCursorBehind      Reason = "CURSOR_BEHIND"      // the cursor lies before what was acknowledged
	ErrNotFound          Reason = "NOT_FOUND"          // ResourceError: no such run, task, lock, agent, event
	ErrAlreadyExists     Reason = "ALREADY_EXISTS"     // ResourceError: the id is taken
	ErrStateConflict     Reason = "STATE_CONFLICT"     // StateConflictError: a conflict was lost
	ErrDeadlock          Reason = "DEADLOCK"           // DeadlockError: waiting for the lock would never end
	ErrStaleAttempt      Reason = "STALE_ATTEMPT"      // StaleTokenError: the attempt is not the current one
	ErrStaleFence        Reason = "STALE_FENCE"        // StaleTokenError: a lock relied on is gone
	ErrNotHolder         Reason = "NOT_HOLDER"         // the lock is not held by the caller
	ErrLockUpgrade       Reason = "LOCK_UPGRADE"       // held in a weaker mode: release first
	ErrLockLost          Reason = "LOCK_LOST"          // the lock was held and no longer is
	ErrLockTimeout       Reason = "LOCK_TIMEOUT"       // LockTimeoutError: not granted in time
	ErrRunOver           Reason = "RUN_OVER"           // the run is over
	ErrRunNotRetryable   Reason = "RUN_NOT_RETRYABLE"  // the run is not over, or has nothing left to do
	ErrNoSession         Reason = "NO_SESSION"         // the call needs a session or an attempt
	ErrSessionOver       Reason = "SESSION_OVER"       // the session ended, or another stream took it
	ErrLimitReached      Reason = "LIMIT_REACHED"      // LimitError: a queue, quota or rate limit
	ErrCursorCompacted   Reason = "CURSOR_COMPACTED"   // LogPositionError: the cursor lies below what is kept
	ErrLogMismatch       Reason = "LOG_MISMATCH"       // LogPositionError: a cursor or token of another log
	ErrLogTailLost       Reason = "LOG_TAIL_LOST"      // LogPositionError: acknowledged events are gone
	ErrUnavailable       Reason = "UNAVAILABLE"        // UnavailableError: failing over, shutting down, no route
	ErrPermissionDenied  Reason = "PERMISSION_DENIED"  // PermissionDeniedError: the caller may not do this
	ErrUnauthenticated   Reason = "UNAUTHENTICATED"    // UnauthenticatedError: the caller is not known
	ErrInternal          Reason = "INTERNAL"           // a fault of the coordinator
	ErrFeatureMissing    Reason = "FEATURE_MISSING"    // FeatureMissingError: the coordinator is too old for this
)

// Error is a refusal, or why a call could not be made. Every error of this package that is not a context's is one, for
// errors.As; those that know more embed it. What ends a call because its context did wraps the context's cause instead.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is empty when the answer did not come from a coordinator.
	Reason Reason
	// Message is for people.
	Message string
	// Details are the decoded detail messages, concertv1's and those of google.rpc.
	Details []proto.Message
}

// Error says the reason, or else the code, and the message.
func (e *Error) Error() string {
	word := string(e.Reason)
	if word == "" {
		word = e.Code.String()
	}
	if e.Message == "" {
		return word
	}
	return word + ": " + e.Message
}

// Is reports whether target is its Reason.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// As finds the Error in the types that embed it.
func (e *Error) As(target any) bool {
	found, ok := target.(**Error)
	if ok {
		*found = e
	}
	return ok
}

// GRPCStatus gives google.golang.org/grpc/status what it knows; details that cannot be encoded are left out.
func (e *Error) GRPCStatus() *status.Status {
	made := status.New(e.Code, e.Message)
	for _, detail := range e.Details {
		if with, err := made.WithDetails(toV1(detail)); err == nil {
			made = with
		}
	}
	return made
}

func detailOf[M proto.Message](e *Error) M {
	for _, detail := range e.Details {
		if found, ok := detail.(M); ok {
			return found
		}
	}
	var none M
	return none
}

// refusal is Error under another name, so that embedding it does not hide its method Error.
type refusal = Error

// Violation is a field, or the subject of a quota, and what is wrong with it.
type Violation struct{ Field, Description string }

// InvalidArgumentError says that something is malformed, or over a limit.
type InvalidArgumentError struct {
	*refusal
	// Violations has one entry for each field at fault.
	Violations []Violation
}

// DependencyCycleError says that the tasks of a run depend on each other in a circle.
type DependencyCycleError struct {
	*refusal
	// TaskIDs in order; the first depends on the last.
	TaskIDs []string
}

// ResourceError is about something that is not there, or is there already.
type ResourceError struct {
	*refusal
	// Type and Name of it, for example "run" and "nightly".
	Type, Name string
}

// StateConflictError says that a state conflict was lost: read again, or build on what the keys hold now, and write with
// CurrentRevision as the base. Where somebody else's lock guards a key (ConflictType "resource_conflict"), take that lock first.
type StateConflictError struct {
	*refusal
	// Keys they met on, the first 20.
	Keys []ConflictKey
	// CurrentRevision is the base revision for the next try; 0 when it was not said.
	CurrentRevision uint64
	// ConflictType is "concurrent_modification" or "resource_conflict".
	ConflictType string
	// ConflictSequence is that of the CONFLICT_DETECTED event.
	ConflictSequence uint64
}

// ConflictKey is one key on which two writers met.
type ConflictKey struct {
	Key, TheirKey, TheirWriter string
	TheirRevision              uint64
	TheirTimestamp             time.Time
	// TheirTraceparent is the W3C trace context of their change.
	TheirTraceparent string
	// Current and Attempted are JSON as Decode gives it; nil when too large to be sent along, or deleted.
	Current, Attempted any
	// GuardedBy is the lock that stands in the way, if one does.
	GuardedBy *concertv1.LockGrant
}

// StaleTokenError says that the attempt is not the current one (ErrStaleAttempt), or that a lock is gone (ErrStaleFence).
type StaleTokenError struct {
	*refusal
	// Token was sent; Current counts now, 0 when none does.
	Token, Current uint64
	// Resource is what was locked, for a fence.
	Resource string
}

// DeadlockError says that a request would have closed a cycle of waiting: give back what is held, and ask again.
type DeadlockError struct {
	*refusal
	// Cycle tells who waits for whom: each for the next one, the last for the first, which is the refused request. Cut short
	// where it is too long to be sent along.
	Cycle []*concertv1.LockWait
	// RequestSequence is that of the refused request's RESOURCE_REQUESTED event.
	RequestSequence uint64
}

// LockTimeoutError says that a lock was not granted in time.
type LockTimeoutError struct {
	*refusal
	// Holders stood in the way.
	Holders []*concertv1.LockGrant
	// Position in the queue when the request gave up, from 1; 0 when it was not queued.
	Position int
}

// LimitError says that a queue, quota or rate limit was reached.
type LimitError struct {
	*refusal
	// RetryAfter is how long to wait before the next try; 0 when it was not said.
	RetryAfter time.Duration
	// Violations are the limits.
	Violations []Violation
}

// LogPositionError says that a cursor lies below the oldest event kept (ErrCursorCompacted), or is of another log
// (ErrLogMismatch), or that acknowledged events are gone (ErrLogTailLost).
type LogPositionError struct {
	*refusal
	// LogID is the log there is, RequestedLogID the one asked for.
	LogID, RequestedLogID string
	// OldestSequence kept; 0 when it was not said.
	OldestSequence uint64
}

// UnavailableError says that no coordinator answered: it is failing over, shutting down, or out of reach.
type UnavailableError struct {
	*refusal
	// RetryAfter is how long to wait before the next try; 0 when it was not said.
	RetryAfter time.Duration
	// Permanent says that waiting will not mend it: a certificate that is not trusted, TLS on one side only.
	Permanent bool
}

// FeatureMissingError says that the coordinator is of an older contract that does not have this.
type FeatureMissingError struct {
	*refusal
	// Feature is the call it does not have.
	Feature string
	// FeatureLevel is the one of the contract that it speaks; -1 when it was not said.
	FeatureLevel int
}

// UnauthenticatedError says that the caller is not known.
type UnauthenticatedError struct {
	*refusal
	// Credential is what would do, in words; empty when it was not said.
	Credential string
}

// PermissionDeniedError says that the caller may not do this.
type PermissionDeniedError struct {
	*refusal
	// Role is the one that it takes, Namespace where, Principal whom the coordinator took the caller for; empty when it was not said.
	Role, Namespace, Principal string
}

// typed gives an Error the type that knows its details.
func typed(e *Error) error {
	switch e.Reason {
	case ErrDependencyCycle:
		return &DependencyCycleError{e, detailOf[*concertv1.DependencyCycle](e).GetTaskIds()}
	case ErrStateConflict:
		return stateConflict(e)
	case ErrDeadlock:
		found := detailOf[*concertv1.Deadlock](e)
		return &DeadlockError{e, found.GetCycle(), found.GetRequestSequence()}
	case ErrStaleAttempt, ErrStaleFence:
		found := detailOf[*concertv1.StaleToken](e)
		return &StaleTokenError{e, found.GetToken(), found.GetCurrent(), found.GetResource()}
	case ErrLockTimeout:
		found := detailOf[*concertv1.LockContention](e)
		return &LockTimeoutError{e, found.GetHolders(), int(found.GetPosition())}
	}
	switch e.Code {
	case codes.InvalidArgument:
		return &InvalidArgumentError{e, fieldViolations(e)}
	case codes.NotFound, codes.AlreadyExists:
		found := detailOf[*errdetails.ResourceInfo](e)
		return &ResourceError{e, found.GetResourceType(), found.GetResourceName()}
	case codes.ResourceExhausted:
		return &LimitError{e, retryDelay(e), quotaViolations(e)}
	case codes.OutOfRange, codes.DataLoss:
		found := detailOf[*concertv1.LogPosition](e)
		return &LogPositionError{e, found.GetLogId(), found.GetRequestedLogId(), found.GetOldestSequence()}
	case codes.Unauthenticated:
		return &UnauthenticatedError{e, neededBy(e)["credential"]}
	case codes.PermissionDenied:
		needed := neededBy(e)
		return &PermissionDeniedError{e, needed["role"], needed["namespace"], needed["principal"]}
	case codes.Unavailable:
		return &UnavailableError{refusal: e, RetryAfter: retryDelay(e)}
	}
	return e
}

func refuse(code codes.Code, reason Reason, format string, arguments ...any) error {
	return typed(&Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, arguments...)})
}

func invalid(format string, arguments ...any) error {
	return refuse(codes.InvalidArgument, ErrInvalidField, format, arguments...)
}

func sessionOver(message string) error {
	return refuse(codes.FailedPrecondition, ErrSessionOver, "%s", message)
}

func lockLost(message string) error {
	return refuse(codes.FailedPrecondition, ErrLockLost, "%s", message)
}

func unavailable(format string, arguments ...any) error {
	return refuse(codes.Unavailable, ErrUnavailable, format, arguments...)
}

// codeOf is the gRPC code of an error of this package.
func codeOf(err error) codes.Code {
	var found *Error
	if errors.As(err, &found) {
		return found.Code
	}
	return codes.Unknown
}

// retryAfter is how long the coordinator asked to wait; 0 when it did not say.
func retryAfter(err error) time.Duration {
	var away *UnavailableError
	var limit *LimitError
	switch {
	case errors.As(err, &away):
		return away.RetryAfter
	case errors.As(err, &limit):
		return limit.RetryAfter
	}
	return 0
}

// transient tells whether waiting may mend it.
func transient(err error) bool {
	var away *UnavailableError
	if errors.As(err, &away) {
		return !away.Permanent
	}
	switch codeOf(err) {
	case codes.Unavailable, codes.Canceled, codes.ResourceExhausted, codes.Internal, codes.Unknown:
		return !errors.Is(err, ErrFeatureMissing)
	}
	return false
}
