package concert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	"concert.dev/clients/go/concertv1"
)

const errorDomain = "concert"

// fromStatus is the error for a google.rpc.Status.
func fromStatus(refused *statuspb.Status) error {
	e := &Error{Code: codes.Code(refused.GetCode()), Message: refused.GetMessage()}
	for _, packed := range refused.GetDetails() {
		detail, err := packed.UnmarshalNew()
		if err != nil { // of a newer contract, or of a proxy
			continue
		}
		e.Details = append(e.Details, detail)
	}
	if info := detailOf[*errdetails.ErrorInfo](e); info.GetDomain() == errorDomain {
		e.Reason = Reason(info.GetReason())
	}
	e.Message = cured(e)
	return typed(e)
}

// cured is the message of an error with what there is to do about it, where the coordinator did not know who called, or did not let it.
func cured(e *Error) string {
	needed := neededBy(e)
	switch {
	case e.Code == codes.Unauthenticated && needed["credential"] != "":
		return e.Message + ": give " + needed["credential"] + " that is valid (concert.WithToken, concert.WithTLSFiles)"
	case e.Code == codes.PermissionDenied && needed["role"] != "":
		return e.Message + " (granted in the coordinator's access file)"
	}
	return e.Message
}

// neededBy is what a caller lacks, by name.
func neededBy(e *Error) map[string]string {
	if info := detailOf[*errdetails.ErrorInfo](e); info.GetDomain() == errorDomain {
		return info.GetMetadata()
	}
	return nil
}

// fromRPC is the error for a failed rpc; what ended because its context did wraps the context's cause.
func fromRPC(ctx context.Context, name string, target string, err error) error {
	if ctx.Err() != nil {
		return ended(ctx, name)
	}
	refused := status.Convert(err)
	converted := fromStatus(refused.Proto())
	if refused.Code() == codes.Unimplemented {
		var plain *Error
		errors.As(converted, &plain)
		plain.Reason = ErrFeatureMissing
		plain.Message = fmt.Sprintf("the coordinator at %s has no %s: it is of an older contract, upgrade it", target, name)
		return &FeatureMissingError{plain, name, -1}
	}
	var away *UnavailableError
	if errors.As(converted, &away) && away.Reason == "" {
		away.refusal.Reason = ErrUnavailable
		away.refusal.Message, away.Permanent = cure(target, away.Message)
	}
	return converted
}

// ended says that a call ended because its context did; by the client's own bound it is an Error.
func ended(ctx context.Context, name string) error {
	var own timeoutError
	if errors.As(context.Cause(ctx), &own) {
		return refuse(codes.DeadlineExceeded, "", "%s was %v", name, own)
	}
	return fmt.Errorf("concert: %s: %w", name, context.Cause(ctx))
}

// tooOld is the error for a coordinator whose contract lacks sessions as this client needs them.
func tooOld(target string, level uint32) error {
	plain := &Error{Code: codes.Unimplemented, Reason: ErrFeatureMissing}
	plain.Message = fmt.Sprintf("the coordinator at %s speaks feature level %d of the contract, and sessions need %d: upgrade it",
		target, level, featureLevelMin)
	return &FeatureMissingError{plain, "Connect", int(level)}
}

// cure adds to what the transport says what there is to do about it. Whether waiting would not help.
func cure(target, message string) (string, bool) {
	switch {
	case strings.Contains(message, "remote error: tls:"):
		return message + ": " + target + " wants another certificate of yours (concert.WithTLSFiles)", true
	case strings.Contains(message, "certificate"):
		return message + ": is " + target + " the coordinator, and is its authority given (concert.WithTLS)?", true
	case strings.Contains(message, "first record does not look like a TLS handshake"):
		return message + ": " + target + " does not speak TLS, connect without it", true
	case strings.Contains(message, "error reading server preface"):
		return message + ": does " + target + " want TLS (concert.WithTLS), or a certificate of yours (concert.WithTLSFiles), and is it a coordinator?", false
	case strings.Contains(message, "broken pipe"), strings.Contains(message, "connection reset"):
		return message + ": " + target + " hung up; if it always does, does it want a certificate of yours (concert.WithTLSFiles)?", false
	case strings.Contains(message, "connection refused"), strings.Contains(message, "no such host"),
		strings.Contains(message, "produced zero addresses"):
		return message + ": is a coordinator running at " + target + ", and is the address right?", false
	}
	return message, false
}

func toV1(message proto.Message) protoadapt.MessageV1 { return protoadapt.MessageV1Of(message) }

func fieldViolations(e *Error) []Violation {
	var found []Violation
	for _, each := range detailOf[*errdetails.BadRequest](e).GetFieldViolations() {
		found = append(found, Violation{each.GetField(), each.GetDescription()})
	}
	return found
}

func quotaViolations(e *Error) []Violation {
	var found []Violation
	for _, each := range detailOf[*errdetails.QuotaFailure](e).GetViolations() {
		found = append(found, Violation{each.GetSubject(), each.GetDescription()})
	}
	return found
}

func retryDelay(e *Error) time.Duration {
	return detailOf[*errdetails.RetryInfo](e).GetRetryDelay().AsDuration()
}

func stateConflict(e *Error) error {
	found := detailOf[*concertv1.StateConflict](e)
	conflict := &StateConflictError{
		refusal:          e,
		CurrentRevision:  found.GetCurrentRevision(),
		ConflictType:     found.GetConflictType(),
		ConflictSequence: found.GetConflictSequence(),
	}
	for _, key := range found.GetKeys() {
		conflict.Keys = append(conflict.Keys, ConflictKey{
			Key:              key.GetKey(),
			TheirKey:         key.GetTheirKey(),
			TheirWriter:      key.GetTheirWriter(),
			TheirRevision:    key.GetTheirRevision(),
			TheirTimestamp:   key.GetTheirTimestamp().AsTime(),
			TheirTraceparent: key.GetTheirTraceparent(),
			Current:          fromValue(key.GetCurrent()),
			Attempted:        fromValue(key.GetAttempted()),
			GuardedBy:        key.GetGuardedBy(),
		})
	}
	return conflict
}
