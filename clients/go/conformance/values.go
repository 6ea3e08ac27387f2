package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

// value is something that Concert passes on, as a request has it.
type value struct{ any }

// UnmarshalJSON reads the notation of the runner.
func (v *value) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v.any); err != nil {
		return err
	}
	var err error
	v.any, err = decoded(v.any)
	return err
}

func decoded(from any) (any, error) {
	var err error
	switch each := from.(type) {
	case json.Number:
		return number(string(each))
	case []any:
		for i := range each {
			if each[i], err = decoded(each[i]); err != nil {
				return nil, err
			}
		}
	case object:
		if encoded, ok := each["$bytes"].(string); ok {
			return base64.StdEncoding.DecodeString(encoded)
		}
		if text, ok := each["$number"].(string); ok {
			return number(text)
		}
		if _, ok := each["$unencodable"]; ok {
			return func() {}, nil
		}
		for key := range each {
			if each[key], err = decoded(each[key]); err != nil {
				return nil, err
			}
		}
	}
	return from, nil
}

// number is one as Go would naturally hold it.
func number(text string) (any, error) {
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return whole, nil
	}
	return strconv.ParseFloat(text, 64)
}

// encoded is what the client gave, as an answer has it.
func encoded(from any) any {
	switch each := from.(type) {
	case []byte:
		return object{"$bytes": base64.StdEncoding.EncodeToString(each)}
	case []any:
		made := make([]any, len(each))
		for i := range each {
			made[i] = encoded(each[i])
		}
		return made
	case object:
		made := object{}
		for key := range each {
			made[key] = encoded(each[key])
		}
		return made
	case float64:
		if each == math.Trunc(each) && math.Abs(each) <= 1<<53 {
			return int64(each)
		}
	}
	return from
}

func payloadOf(payload *v1.Payload) any {
	var found any
	_ = concert.Decode(payload, &found)
	return encoded(found)
}

// seconds is a duration in a request.
type seconds time.Duration

// UnmarshalJSON reads a number of seconds.
func (s *seconds) UnmarshalJSON(text []byte) error {
	count, err := strconv.ParseFloat(string(text), 64)
	*s = seconds(count * float64(time.Second))
	return err
}

func codeName(code codes.Code) string {
	words := map[codes.Code]string{
		codes.Canceled: "CANCELLED", codes.InvalidArgument: "INVALID_ARGUMENT", codes.DeadlineExceeded: "DEADLINE_EXCEEDED",
		codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS", codes.PermissionDenied: "PERMISSION_DENIED",
		codes.ResourceExhausted: "RESOURCE_EXHAUSTED", codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED",
		codes.OutOfRange: "OUT_OF_RANGE", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL",
		codes.Unavailable: "UNAVAILABLE", codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
	}
	if word, known := words[code]; known {
		return word
	}
	return "UNKNOWN"
}

// errorOf is what went wrong, with all that the typed error unpacked.
func errorOf(err error) object {
	var plain *concert.Error
	switch {
	case errors.Is(err, errUnknownOp):
		return object{"code": "UNKNOWN_OP", "message": err.Error()}
	case !errors.As(err, &plain):
		return object{"code": "DRIVER", "message": err.Error()}
	}
	return object{
		"code": codeName(plain.Code), "reason": string(plain.Reason), "message": plain.Message, "details": detailsOf(err),
	}
}

func detailsOf(err error) object {
	details := object{}
	var invalid *concert.InvalidArgumentError
	var cycle *concert.DependencyCycleError
	var resource *concert.ResourceError
	var conflict *concert.StateConflictError
	var stale *concert.StaleTokenError
	var deadlock *concert.DeadlockError
	var timeout *concert.LockTimeoutError
	var limit *concert.LimitError
	var away *concert.UnavailableError
	var position *concert.LogPositionError
	var missing *concert.FeatureMissingError
	var unknown *concert.UnauthenticatedError
	var denied *concert.PermissionDeniedError
	switch {
	case errors.As(err, &missing):
		if missing.FeatureLevel >= 0 {
			details["feature_level"] = missing.FeatureLevel
		}
	case errors.As(err, &unknown):
		details["needed"] = object{"credential": unknown.Credential}
	case errors.As(err, &denied):
		details["needed"] = object{"role": denied.Role, "namespace": denied.Namespace, "principal": denied.Principal}
	case errors.As(err, &invalid):
		details["violations"] = violationsOf(invalid.Violations)
	case errors.As(err, &cycle):
		details["cycle"] = cycle.TaskIDs
	case errors.As(err, &resource):
		details["resource"] = resource.Type + "/" + resource.Name
	case errors.As(err, &conflict):
		details["conflict_type"] = conflict.ConflictType
		details["current_revision"] = conflict.CurrentRevision
		details["conflict_sequence"] = conflict.ConflictSequence
		details["keys"] = conflictKeysOf(conflict.Keys)
	case errors.As(err, &stale):
		details["token"], details["current_token"], details["resource"] = stale.Token, stale.Current, stale.Resource
	case errors.As(err, &deadlock):
		var steps []object
		for _, step := range deadlock.Cycle {
			steps = append(steps, object{
				"holder": step.GetHolder(), "resource": step.GetResource(), "request_sequence": step.GetRequestSequence(),
				"fencing_token": step.GetFencingToken(),
			})
		}
		details["cycle"] = steps
	case errors.As(err, &timeout):
		details["holders"], details["position"] = holdersOf(timeout.Holders), timeout.Position
	case errors.As(err, &limit):
		details["violations"], details["retry_after"] = violationsOf(limit.Violations), limit.RetryAfter.Seconds()
	case errors.As(err, &away):
		details["retry_after"] = away.RetryAfter.Seconds()
	case errors.As(err, &position):
		details["log_id"], details["oldest_sequence"] = position.LogID, position.OldestSequence
		details["requested_log_id"] = position.RequestedLogID
	}
	return details
}

func violationsOf(violations []concert.Violation) []object {
	found := []object{}
	for _, each := range violations {
		found = append(found, object{"field": each.Field, "description": each.Description})
	}
	return found
}

func conflictKeysOf(keys []concert.ConflictKey) []object {
	found := []object{}
	for _, each := range keys {
		found = append(found, object{
			"key": each.Key, "their_key": each.TheirKey, "their_writer": each.TheirWriter, "their_revision": each.TheirRevision,
			"their_traceparent": each.TheirTraceparent, "current": encoded(each.Current), "attempted": encoded(each.Attempted),
		})
	}
	return found
}

func holdersOf(grants []*v1.LockGrant) []object {
	found := []object{}
	for _, grant := range grants {
		found = append(found, object{
			"resource": grant.GetResource(), "holder": grant.GetHolder(), "mode": word(grant.GetMode().String(), "LOCK_MODE_"),
			"fencing_token": grant.GetFencingToken(),
		})
	}
	return found
}

func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

// eventOf is an event, reduced to what is judged.
func eventOf(event *v1.Event) object {
	said := object{"sequence": event.GetSequence(), "type": int32(event.GetType())}
	if name, known := v1.EventType_name[int32(event.GetType())]; known {
		said["type"] = strings.TrimPrefix(name, "EVENT_TYPE_")
	}
	for name, text := range map[string]string{
		"agent_id": event.GetAgentId(), "run_id": event.GetRunId(), "task_id": event.GetTaskId(), "traceparent": event.GetTraceparent(),
	} {
		if text != "" {
			said[name] = text
		}
	}
	if custom := event.GetCustom(); custom != nil {
		said["custom_name"], said["data"] = custom.GetName(), payloadOf(custom.GetData())
	}
	return said
}

func eventsOf(events []*v1.Event, raw bool) object {
	found := []object{}
	for _, event := range events {
		said := eventOf(event)
		if raw { // the bytes that the client would write for it again
			written, _ := proto.Marshal(event)
			said["raw"] = encoded(written)
		}
		found = append(found, said)
	}
	return object{"events": found}
}

// runOf is a run, reduced to what is judged.
func runOf(run *v1.Run) object {
	tasks := object{}
	for _, each := range run.GetTasks() {
		tasks[each.GetTaskId()] = object{
			"status": strings.TrimPrefix(each.GetStatus().String(), "TASK_STATUS_"), "attempts": each.GetAttempts(),
			"error_type": each.GetError().GetErrorType(), "error": each.GetError().GetMessage(),
		}
	}
	return object{"status": strings.TrimPrefix(run.GetStatus().String(), "RUN_STATUS_"), "tasks": tasks}
}
