package dev.concert.internal;

import com.google.protobuf.Message;
import dev.concert.errors.CancelledException;
import dev.concert.errors.ConcertException;
import dev.concert.errors.DeadlineExceededException;
import dev.concert.errors.InternalException;
import dev.concert.errors.UnavailableException;
import dev.concert.errors.UntrustedException;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One call, tried again under one request id for as long as it is UNAVAILABLE and time is left. */
final class UnaryCall<Q extends Message, R extends Message> {
    private final Connection connection;
    private final Method<Q, R> method;
    private final Q request;
    private final Metadata headers;
    private final long deadlineNanos;
    private final Backoff backoff = new Backoff();
    private final CompletableFuture<R> answer = new CompletableFuture<>();
    private long retryUntilNanos;
    private volatile ClientCall<Q, R> current;

    UnaryCall(Connection connection, Method<Q, R> method, Q request, Metadata headers, Duration within) {
        this.connection = connection;
        this.method = method;
        this.request = request;
        this.headers = headers;
        long now = System.nanoTime();
        this.deadlineNanos = now + within.toNanos();
        this.retryUntilNanos = now + connection.retryFor().toNanos();
    }

    CompletableFuture<R> begin() {
        answer.whenComplete((response, error) -> {
            ClientCall<Q, R> call = current;
            if (answer.isCancelled() && call != null) {
                call.cancel("the caller stopped waiting", null);
            }
            connection.over(this);
        });
        connection.begun(this);
        if (!answer.isDone()) {
            attempt();
        }
        return answer;
    }

    void endWithClient() {
        answer.completeExceptionally(new CancelledException("the client was closed", "CANCELLED", "", List.of()));
    }

    private void attempt() {
        long begun = System.nanoTime();
        long left = deadlineNanos - begun;
        if (left <= 0) {
            answer.completeExceptionally(new DeadlineExceededException(method.name() + " was not answered in time"));
            return;
        }
        Route.Way way = connection.route.way();
        CallOptions options = connection.callOptions().withDeadlineAfter(left, TimeUnit.NANOSECONDS);
        ClientCall<Q, R> call = way.channel().newCall(method.rpc(), options);
        current = call;
        Metadata sent = new Metadata();
        sent.merge(headers);
        call.start(new Answer(way, begun), sent);
        call.request(2);
        call.sendMessage(request);
        call.halfClose();
        if (answer.isCancelled()) {
            call.cancel("the caller stopped waiting", null);
        }
    }

    private final class Answer extends ClientCall.Listener<R> {
        private final Route.Way way;
        private final long begun;
        private R response;

        Answer(Route.Way way, long begun) {
            this.way = way;
            this.begun = begun;
        }

        @Override
        public void onMessage(R message) {
            response = message;
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            if (!status.isOk()) {
                String address = connection.route.address(way.index());
                ConcertException refusal = status.getCode() == Status.Code.CANCELLED && !answer.isCancelled()
                        ? new UnavailableException("the coordinator at " + address + " dropped the call")
                        : Refusals.fromCall(status, trailers, method.name(), address);
                refuse(connection.route.renewed(way, refusal), way.index(), begun);
            } else if (response == null) {
                answer.completeExceptionally(new InternalException(method.name() + " was answered with nothing"));
            } else {
                answer.complete(response);
            }
        }
    }

    private void refuse(ConcertException refusal, int way, long begun) {
        if (!(refusal instanceof UnavailableException) || refusal instanceof UntrustedException) {
            answer.completeExceptionally(refusal);
            return;
        }
        long now = System.nanoTime();
        if (now - begun > Limits.BACKOFF_MAX.toNanos() + Limits.CONNECT_MAX.toNanos()) {
            backoff.reset(); // it had been accepted: a new outage, a new window
            retryUntilNanos = now + connection.retryFor().toNanos();
        }
        Duration pause = backoff.pause(refusal.retryAfter());
        if (now + pause.toNanos() > Math.min(retryUntilNanos, deadlineNanos)) {
            answer.completeExceptionally(refusal);
            return;
        }
        connection.loop().schedule(pause, () -> {
            connection.route.avoid(way);
            if (!answer.isDone()) {
                attempt();
            }
        });
    }
}
