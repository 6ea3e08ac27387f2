package dev.concert.internal;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import dev.concert.errors.*;
import dev.concert.v1.Deadlock;
import dev.concert.v1.DependencyCycle;
import dev.concert.v1.LockContention;
import dev.concert.v1.LogPosition;
import dev.concert.v1.StaleToken;
import dev.concert.v1.StateConflict;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.net.ConnectException;
import java.net.UnknownHostException;
import java.security.cert.CertificateException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.net.ssl.SSLException;

/** From a google.rpc.Status, or what became of a call, to the exception that says it. */
public final class Refusals {
    private static final String DOMAIN = "concert";
    private static final List<Class<? extends Message>> DETAILS = List.of(
            ErrorInfo.class,
            BadRequest.class,
            ResourceInfo.class,
            PreconditionFailure.class,
            QuotaFailure.class,
            RetryInfo.class,
            DependencyCycle.class,
            StateConflict.class,
            StaleToken.class,
            Deadlock.class,
            LockContention.class,
            LogPosition.class);

    @FunctionalInterface
    private interface Kind {
        ConcertException of(String message, String code, String reason, List<Message> details);
    }

    private static final Map<String, Kind> BY_REASON = Map.ofEntries(
            Map.entry("INVALID_FIELD", InvalidArgumentException::new),
            Map.entry("DEPENDENCY_CYCLE", DependencyCycleException::new),
            Map.entry("DEPENDENCY_UNKNOWN", DependencyUnknownException::new),
            Map.entry("REQUEST_ID_REUSED", RequestIdReusedException::new),
            Map.entry("CURSOR_IN_FUTURE", CursorInFutureException::new),
            Map.entry("CURSOR_BEHIND", CursorBehindException::new),
            Map.entry("NOT_FOUND", NotFoundException::new),
            Map.entry("ALREADY_EXISTS", AlreadyExistsException::new),
            Map.entry("STATE_CONFLICT", StateConflictException::new),
            Map.entry("STALE_ATTEMPT", StaleAttemptException::new),
            Map.entry("STALE_FENCE", StaleFenceException::new),
            Map.entry("DEADLOCK", DeadlockException::new),
            Map.entry("NOT_HOLDER", NotHolderException::new),
            Map.entry("LOCK_UPGRADE", LockUpgradeException::new),
            Map.entry("LOCK_LOST", LockLostException::new),
            Map.entry("RUN_OVER", RunOverException::new),
            Map.entry("RUN_NOT_RETRYABLE", RunNotRetryableException::new),
            Map.entry("NO_SESSION", NoSessionException::new),
            Map.entry("SESSION_OVER", SessionOverException::new),
            Map.entry("LOCK_TIMEOUT", LockTimeoutException::new),
            Map.entry("LIMIT_REACHED", LimitReachedException::new),
            Map.entry("CURSOR_COMPACTED", CursorCompactedException::new),
            Map.entry("LOG_MISMATCH", LogMismatchException::new),
            Map.entry("UNAVAILABLE", UnavailableException::new),
            Map.entry("PERMISSION_DENIED", PermissionDeniedException::new),
            Map.entry("UNAUTHENTICATED", UnauthenticatedException::new),
            Map.entry("INTERNAL", InternalException::new));

    private static final Map<String, Kind> BY_CODE = Map.ofEntries(
            Map.entry("INVALID_ARGUMENT", InvalidArgumentException::new),
            Map.entry("NOT_FOUND", NotFoundException::new),
            Map.entry("ALREADY_EXISTS", AlreadyExistsException::new),
            Map.entry("ABORTED", AbortedException::new),
            Map.entry("FAILED_PRECONDITION", FailedPreconditionException::new),
            Map.entry("DEADLINE_EXCEEDED", DeadlineExceededException::new),
            Map.entry("RESOURCE_EXHAUSTED", LimitReachedException::new),
            Map.entry("OUT_OF_RANGE", CursorCompactedException::new),
            Map.entry("DATA_LOSS", LogMismatchException::new),
            Map.entry("UNAVAILABLE", UnavailableException::new),
            Map.entry("PERMISSION_DENIED", PermissionDeniedException::new),
            Map.entry("UNAUTHENTICATED", UnauthenticatedException::new),
            Map.entry("UNIMPLEMENTED", FeatureMissingException::new),
            Map.entry("CANCELLED", CancelledException::new),
            Map.entry("INTERNAL", InternalException::new));

    private Refusals() {}

    /** The exception for a google.rpc.Status. */
    public static ConcertException fromStatus(com.google.rpc.Status status) {
        List<Message> details = new ArrayList<>();
        status.getDetailsList().forEach(each -> unpack(each, details));
        Code code = Code.forNumber(status.getCode());
        return build(code == null ? "UNKNOWN" : code.name(), status.getMessage(), details);
    }

    /** The exception for a call of that name to {@code address} that ended with anything but OK. */
    static ConcertException fromCall(Status status, Metadata trailers, String call, String address) {
        com.google.rpc.Status rich = trailers == null ? null : StatusProto.fromStatusAndTrailers(status, trailers);
        if (rich != null && rich.getCode() == status.getCode().value() && rich.getDetailsCount() > 0) {
            return fromStatus(rich);
        }
        String said = status.getDescription() == null ? "" : status.getDescription();
        boolean isBroken =
                status.getCode() == Status.Code.UNKNOWN && causeOf(status.getCause(), IOException.class) != null;
        if (status.getCode() == Status.Code.UNAVAILABLE
                || isBroken) { // grpc-java calls a channel that was reset UNKNOWN
            return unreachable(status, said, address);
        }
        if (status.getCode() == Status.Code.UNIMPLEMENTED) {
            return new FeatureMissingException(
                    "the coordinator at " + address + " does not know " + call + ": upgrade it (" + said + ")", -1);
        }
        return build(status.getCode().name(), said, List.of());
    }

    private static ConcertException unreachable(Status status, String said, String address) {
        SSLException distrust = causeOf(status.getCause(), SSLException.class);
        if (distrust != null) {
            boolean isDistrusted = causeOf(distrust, CertificateException.class) != null;
            return withCause(new UntrustedException(cureOf(saidBy(distrust), isDistrusted, address)), distrust);
        }
        if (said.contains("HTTP/2") || said.contains("SETTINGS")) {
            String cure = "what listens at " + address
                    + " does not speak gRPC without TLS: check the address, or give credentials";
            return new UntrustedException(cure + " (" + said + ")");
        }
        if (causeOf(status.getCause(), UnknownHostException.class) != null
                || said.startsWith("Unable to resolve host")) {
            return new UnavailableException("there is no host of the name in " + address + ": check the address");
        }
        if (causeOf(status.getCause(), ConnectException.class) != null) {
            String cure = ": check the address, and that the coordinator runs";
            return withCause(new UnavailableException("nobody answers at " + address + cure), status.getCause());
        }
        String cure = said.startsWith("Network closed")
                ? "; if it always hangs up, does it want TLS, or a certificate of yours: tls(authorities, certificate, key)?"
                : "";
        return withCause(new UnavailableException(said + " (" + address + ")" + cure), status.getCause());
    }

    /** The last word of a chain of causes: the one that knows. */
    private static String saidBy(Throwable error) {
        Throwable last = error;
        while (last.getCause() != null) {
            last = last.getCause();
        }
        return String.valueOf(last.getMessage());
    }

    private static String cureOf(String said, boolean isDistrusted, String address) {
        if (said.contains("not an SSL/TLS record")) {
            return "what listens at " + address
                    + " does not speak TLS: leave the credentials out, or check the address";
        }
        if (said.contains("No name matching") || said.contains("No subject alternative")) {
            return "the certificate of " + address
                    + " is for another name: use that name in the address, or say it with" + " authority(...) (" + said
                    + ")";
        }
        if (said.contains("alert")) {
            return "what listens at " + address
                    + " wants another certificate of yours, or one at all: give tls(authorities, certificate, key) ("
                    + said + ")";
        }
        if (isDistrusted) {
            return "the certificate of " + address
                    + " is signed by nobody trusted here: give its authority's certificate"
                    + " as trustManager of the credentials (" + said + ")";
        }
        return "no TLS with " + address + ": " + said;
    }

    private static ConcertException withCause(ConcertException error, Throwable cause) {
        if (cause != null) {
            error.initCause(cause);
        }
        return error;
    }

    private static <T extends Throwable> T causeOf(Throwable error, Class<T> kind) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (kind.isInstance(each)) {
                return kind.cast(each);
            }
        }
        return null;
    }

    private static ConcertException build(String code, String message, List<Message> details) {
        String reason = details.stream()
                .filter(ErrorInfo.class::isInstance)
                .map(ErrorInfo.class::cast)
                .filter(info -> info.getDomain().equals(DOMAIN))
                .map(ErrorInfo::getReason)
                .findFirst()
                .orElse("");
        Kind kind = BY_REASON.getOrDefault(reason, BY_CODE.getOrDefault(code, ConcertException::new));
        return kind.of(cured(message, code, details), code, reason, details);
    }

    /** What was said, with what there is to do about it where the coordinator did not know who called, or did not let it. */
    private static String cured(String message, String code, List<Message> details) {
        Map<String, String> needed = details.stream()
                .filter(ErrorInfo.class::isInstance)
                .map(ErrorInfo.class::cast)
                .filter(info -> info.getDomain().equals(DOMAIN))
                .findFirst()
                .map(ErrorInfo::getMetadataMap)
                .orElse(Map.of());
        if (code.equals("UNAUTHENTICATED") && needed.containsKey("credential")) {
            return message + ": give " + needed.get("credential") + " that is valid, with token(...) or tls(...)";
        }
        if (code.equals("PERMISSION_DENIED") && needed.containsKey("role")) {
            return message + " (granted in the coordinator's access file)";
        }
        return message;
    }

    private static void unpack(Any any, List<Message> details) {
        for (Class<? extends Message> kind : DETAILS) {
            if (any.is(kind)) {
                try {
                    details.add(any.unpack(kind));
                } catch (InvalidProtocolBufferException unreadable) {
                    return; // what cannot be read is as good as not sent; the status counts
                }
            }
        }
    }

    /** Whether waiting may mend it. */
    public static boolean isTransient(ConcertException error) {
        return switch (error.code()) {
            case "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN" -> !(error instanceof UntrustedException);
            case "CANCELLED" -> !(error instanceof InterruptedCallException);
            default -> false;
        };
    }
}
