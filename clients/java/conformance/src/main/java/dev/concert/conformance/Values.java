package dev.concert.conformance;

import com.google.protobuf.ByteString;
import com.google.protobuf.ProtocolMessageEnum;
import dev.concert.Json;
import dev.concert.errors.AlreadyExistsException;
import dev.concert.errors.ConcertException;
import dev.concert.errors.CursorCompactedException;
import dev.concert.errors.DeadlockException;
import dev.concert.errors.DependencyCycleException;
import dev.concert.errors.FeatureMissingException;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.errors.LimitReachedException;
import dev.concert.errors.LockTimeoutException;
import dev.concert.errors.LogMismatchException;
import dev.concert.errors.NotAdmittedException;
import dev.concert.errors.NotFoundException;
import dev.concert.errors.StaleAttemptException;
import dev.concert.errors.StaleFenceException;
import dev.concert.errors.StateConflictException;
import dev.concert.errors.Violation;
import dev.concert.v1.ConflictingKey;
import dev.concert.v1.Event;
import dev.concert.v1.EventType;
import dev.concert.v1.LockGrant;
import dev.concert.v1.LockMode;
import dev.concert.v1.LockWait;
import dev.concert.v1.Payload;
import dev.concert.v1.Run;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What travels as what between the runner and this driver. */
final class Values {
    private Values() {}

    /** A value of a request as the client takes it. */
    static Object decoded(Json value) {
        Object plain = value.toJava();
        return decoded(plain);
    }

    private static Object decoded(Object plain) {
        if (plain instanceof List<?> list) {
            List<Object> decoded = new ArrayList<>();
            list.forEach(each -> decoded.add(decoded(each)));
            return decoded;
        }
        if (!(plain instanceof Map<?, ?> map)) {
            return plain;
        }
        if (map.get("$bytes") instanceof String bytes) {
            return Base64.getDecoder().decode(bytes);
        }
        if (map.get("$number") instanceof String number) {
            return number.matches("-?\\d+") ? (Object) new BigInteger(number) : (Object) Double.valueOf(number);
        }
        if (map.containsKey("$unencodable")) {
            return new Object();
        }
        Map<Object, Object> decoded = new LinkedHashMap<>();
        map.forEach((key, each) -> decoded.put(key, decoded(each)));
        return decoded;
    }

    /** What the client gave, as an answer has it. */
    static Object encoded(Payload payload) {
        if (payload.hasData()) {
            return Map.of("$bytes", base64(payload.getData()));
        }
        return payload.hasJson() ? Json.of(payload.getJson()) : Json.NULL;
    }

    private static String base64(ByteString bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    /** The word of an enum without its prefix. */
    static String word(ProtocolMessageEnum value, String prefix) {
        return value.getValueDescriptor().getName().substring(prefix.length());
    }

    /** What went wrong, with all that the typed error unpacked. */
    static Map<String, Object> errorOf(Throwable error) {
        if (!(error instanceof ConcertException refusal)) {
            return Map.of("code", "DRIVER", "message", String.valueOf(error));
        }
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("code", refusal.code());
        said.put("reason", refusal.reason());
        said.put("message", refusal.said());
        said.put("details", details(refusal));
        return said;
    }

    private static Map<String, Object> details(ConcertException error) {
        Map<String, Object> details = new LinkedHashMap<>();
        error.retryAfter().ifPresent(after -> details.put("retry_after", after.toNanos() / 1e9));
        if (error instanceof DependencyCycleException cycle) {
            details.put("cycle", cycle.cycle());
        } else if (error instanceof InvalidArgumentException invalid) {
            details.put("violations", violations(invalid.violations()));
        } else if (error instanceof LimitReachedException limit) {
            details.put("violations", violations(limit.violations()));
        } else if (error instanceof NotFoundException none) {
            details.put("resource", none.resource());
        } else if (error instanceof AlreadyExistsException there) {
            details.put("resource", there.resource());
        } else if (error instanceof StateConflictException conflict) {
            details.put("conflict_type", conflict.conflictType());
            details.put("current_revision", conflict.currentRevision());
            details.put("conflict_sequence", conflict.conflictSequence());
            details.put("keys", conflict.keys().stream().map(Values::key).toList());
        } else if (error instanceof StaleAttemptException stale) {
            details.put("token", stale.token());
            details.put("current_token", stale.currentToken());
        } else if (error instanceof StaleFenceException stale) {
            details.put("token", stale.token());
            details.put("current_token", stale.currentToken());
            details.put("resource", stale.resource());
        } else if (error instanceof DeadlockException deadlock) {
            details.put("cycle", deadlock.cycle().stream().map(Values::step).toList());
        } else if (error instanceof LockTimeoutException late) {
            details.put("holders", late.holders().stream().map(Values::holder).toList());
            details.put("position", late.position());
        } else if (error instanceof CursorCompactedException compacted) {
            details.put("log_id", compacted.logId());
            details.put("oldest_sequence", compacted.oldestSequence());
        } else if (error instanceof NotAdmittedException stranger) {
            details.put("needed", stranger.needed());
        } else if (error instanceof FeatureMissingException missing) {
            missing.featureLevel().ifPresent(level -> details.put("feature_level", level));
        } else if (error instanceof LogMismatchException mismatch) {
            details.put("log_id", mismatch.logId());
            details.put("requested_log_id", mismatch.requestedLogId());
        }
        return details;
    }

    private static List<Map<String, String>> violations(List<Violation> violations) {
        return violations.stream()
                .map(each -> Map.of("field", each.field(), "description", each.description()))
                .toList();
    }

    private static Map<String, Object> key(ConflictingKey key) {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("key", key.getKey());
        said.put("their_key", key.getTheirKey());
        said.put("their_writer", key.getTheirWriter());
        said.put("their_revision", key.getTheirRevision());
        said.put("their_traceparent", key.getTheirTraceparent());
        said.put("current", key.hasCurrent() ? Json.of(key.getCurrent()) : Json.NULL);
        said.put("attempted", key.hasAttempted() ? Json.of(key.getAttempted()) : Json.NULL);
        return said;
    }

    private static Map<String, Object> step(LockWait step) {
        return Map.of(
                "holder", step.getHolder(),
                "resource", step.getResource(),
                "request_sequence", step.getRequestSequence(),
                "fencing_token", step.getFencingToken());
    }

    private static Map<String, Object> holder(LockGrant grant) {
        return Map.of(
                "resource", grant.getResource(),
                "holder", grant.getHolder(),
                "mode", grant.getMode() == LockMode.LOCK_MODE_SHARED ? "shared" : "exclusive",
                "fencing_token", grant.getFencingToken());
    }

    /** A grant, as acquire answers with it. */
    static Map<String, Object> grant(LockGrant grant) {
        return Map.of(
                "resource", grant.getResource(),
                "fencing_token", grant.getFencingToken(),
                "holder", grant.getHolder());
    }

    /** An event, reduced to what is judged. A type that this client does not know is its number. */
    static Map<String, Object> eventOf(Event event, boolean isRaw) {
        Map<String, Object> said = new LinkedHashMap<>();
        said.put("sequence", event.getSequence());
        boolean isKnown = event.getType() != EventType.UNRECOGNIZED;
        said.put("type", isKnown ? word(event.getType(), "EVENT_TYPE_") : (Object) event.getTypeValue());
        put(said, "agent_id", event.getAgentId());
        put(said, "run_id", event.getRunId());
        put(said, "task_id", event.getTaskId());
        put(said, "traceparent", event.getTraceparent());
        if (event.hasCustom()) {
            said.put("custom_name", event.getCustom().getName());
            said.put("data", encoded(event.getCustom().getData()));
        }
        if (isRaw) {
            said.put("raw", Map.of("$bytes", base64(event.toByteString())));
        }
        return said;
    }

    /** A run, reduced to what is judged. */
    static Map<String, Object> runOf(Run run) {
        Map<String, Object> tasks = new LinkedHashMap<>();
        run.getTasksList()
                .forEach(task -> tasks.put(
                        task.getTaskId(),
                        Map.of(
                                "status", word(task.getStatus(), "TASK_STATUS_"),
                                "attempts", task.getAttempts(),
                                "error_type", task.getError().getErrorType(),
                                "error", task.getError().getMessage())));
        return Map.of("status", word(run.getStatus(), "RUN_STATUS_"), "tasks", tasks);
    }

    private static void put(Map<String, Object> said, String name, String value) {
        if (!value.isEmpty()) {
            said.put(name, value);
        }
    }
}
