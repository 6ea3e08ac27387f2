package dev.concert.errors;

import com.google.protobuf.Message;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * A call was refused or could not be made: one class for each reason of the contract, built from google.rpc.Status.
 *
 * <pre>
 * ConcertException                        code() reason() details()
 * ├── InvalidArgumentException            malformed or over a limit              violations()
 * │   ├── InvalidPayloadException         refused before it was sent
 * │   ├── DependencyCycleException        tasks depend on each other in a circle cycle()
 * │   ├── DependencyUnknownException      a dependency refers to nothing
 * │   ├── RequestIdReusedException        another request was made under the id
 * │   ├── CursorInFutureException         the cursor points beyond the log
 * │   └── CursorBehindException           the cursor lies before what was acknowledged
 * ├── NotFoundException                   no such run, task, lock, agent, event  resource()
 * ├── AlreadyExistsException              the id is taken                        resource()
 * ├── AbortedException
 * │   ├── StateConflictException          a state conflict was lost              keys() currentRevision()
 * │   ├── DeadlockException               waiting for the lock would never end   cycle()
 * │   ├── StaleAttemptException           the attempt is not the current one     token() currentToken()
 * │   └── StaleFenceException             a lock relied on is gone               token() currentToken() resource()
 * ├── FailedPreconditionException
 * │   ├── NotHolderException              the lock is not held by the caller
 * │   ├── LockUpgradeException            held in a weaker mode: release first
 * │   ├── LockLostException               the lock was held and no longer is
 * │   ├── RunOverException                the run is over
 * │   ├── RunNotRetryableException        it is not over, or has nothing left to do
 * │   ├── NoSessionException              the call needs a session or an attempt
 * │   └── SessionOverException            the session ended, or another stream took it
 * ├── DeadlineExceededException           no answer in time
 * │   └── LockTimeoutException            the lock was not granted in time       holders() position()
 * ├── LimitReachedException               a queue, quota or rate limit           retryAfter() violations()
 * ├── CursorCompactedException            the cursor lies below what is kept     oldestSequence() logId()
 * ├── LogMismatchException                a cursor or token of another log       logId() requestedLogId()
 * ├── FeatureMissingException             the coordinator is too old for this    featureLevel()
 * ├── UnavailableException                failing over, shutting down, no route  retryAfter()
 * │   └── UntrustedException              no channel that both sides accept
 * ├── NotAdmittedException
 * │   ├── PermissionDeniedException       the caller may not do this             needed()
 * │   └── UnauthenticatedException        the caller is not known                needed()
 * ├── CancelledException                  the peer cancelled the call
 * ├── InterruptedCallException            this thread was interrupted
 * └── InternalException                   a fault of the coordinator
 * </pre>
 */
public class ConcertException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String said;
    private final String code;
    private final String reason;
    private final transient List<Message> details;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public ConcertException(String message, String code, String reason, List<Message> details) {
        super(told(message, code, reason));
        this.said = message;
        this.code = code;
        this.reason = reason;
        this.details = List.copyOf(details);
    }

    /** Name of the gRPC status code, for example "ABORTED". */
    public String code() {
        return code;
    }

    /** A word of the contract's ErrorReason, without prefix; empty when the answer did not come from a coordinator. */
    public String reason() {
        return reason;
    }

    /** What was said, without the reason. */
    public String said() {
        return said;
    }

    /** The decoded detail messages. */
    public List<Message> details() {
        return details == null ? List.of() : details;
    }

    /** The first detail message of that type. */
    public <T extends Message> Optional<T> detail(Class<T> type) {
        return details().stream().filter(type::isInstance).map(type::cast).findFirst();
    }

    /** How long to wait before the next try, if the coordinator said so. */
    public Optional<Duration> retryAfter() {
        return Optional.empty();
    }

    private static String told(String message, String code, String reason) {
        String word = reason.isEmpty() ? code : reason;
        return message.isEmpty() ? word : word + ": " + message;
    }
}
