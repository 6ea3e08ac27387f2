package dev.concert.internal;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.concert.errors.ConcertException;
import dev.concert.errors.SessionOverException;
import dev.concert.v1.ClientMessage;
import dev.concert.v1.Reply;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The commands of a session that have no reply yet: in order, bounded, ready to be sent again. Anybody adds to them; the
 * rest happens on the event loop.
 */
final class Commands {
    /** What becomes of a command. Called on the event loop. */
    interface Outcome<R> {
        /** It was answered. */
        void answered(R response);

        /** It was refused, or will never be answered. */
        void failed(ConcertException error);
    }

    private record Pending<Q extends Message, R extends Message>(
            Method<Q, R> method, long correlationId, ByteString encoded, long attemptToken, Outcome<R> outcome) {
        int sizeBytes() {
            return FrameStream.framedSize(encoded);
        }

        void settle(Reply reply) {
            if (reply.hasError()) {
                outcome.failed(Refusals.fromStatus(reply.getError()));
                return;
            }
            R response = method.response(reply);
            if (response == null) {
                outcome.failed(new dev.concert.errors.InternalException(
                        method.name() + " was answered with " + reply.getOutcomeCase()));
            } else {
                outcome.answered(response);
            }
        }
    }

    private final EventLoop loop;
    private final Runnable wake;
    private final AtomicLong correlationIds = new AtomicLong();
    private final Queue<Pending<?, ?>> added = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean isWaking = new AtomicBoolean();
    private final Map<Long, Pending<?, ?>> pending = new LinkedHashMap<>();
    private Deque<ByteString> outgoing = new ArrayDeque<>();
    private String over;

    private final Object room = new Object();
    private int admitted;
    private long admittedBytes;
    private boolean isClosed;

    /** {@code wake} is called on the loop when there is something to send. */
    Commands(EventLoop loop, Runnable wake) {
        this.loop = loop;
        this.wake = wake;
    }

    /** Takes a command up; waits, unless on the event loop, while too much is pending. */
    <Q extends Message, R extends Message> void add(
            Method<Q, R> method, Q request, String traceparent, Outcome<R> outcome) {
        long correlationId = correlationIds.incrementAndGet();
        ByteString encoded = ClientMessage.newBuilder()
                .setCommand(method.command(correlationId, traceparent, request))
                .build()
                .toByteString();
        Pending<Q, R> command = new Pending<>(method, correlationId, encoded, method.attemptToken(request), outcome);
        boolean isAlone = admit(command.sizeBytes());
        added.add(command);
        if (isWaking.compareAndSet(false, true)) {
            if (isAlone) {
                loop.execute(this::take);
            } else { // others are under way: what follows at once goes into the same frame
                loop.schedule(Limits.FRAME_LINGER, this::take);
            }
        }
    }

    private void take() {
        isWaking.set(false);
        Pending<?, ?> command;
        while ((command = added.poll()) != null) {
            if (over != null) {
                leave(command.sizeBytes());
                command.outcome().failed(new SessionOverException(over));
            } else {
                pending.put(command.correlationId(), command);
                outgoing.add(command.encoded());
            }
        }
        wake.run();
    }

    boolean hasOutgoing() {
        return !outgoing.isEmpty();
    }

    /** Moves what fits into a frame of that many bytes, at least one message if there is none yet. */
    void fill(List<ByteString> frame, int bytesMax) {
        int sizeBytes = frame.stream().mapToInt(FrameStream::framedSize).sum();
        while (!outgoing.isEmpty()) {
            sizeBytes += FrameStream.framedSize(outgoing.peek());
            if (!frame.isEmpty() && sizeBytes > bytesMax) {
                return;
            }
            frame.add(outgoing.poll());
        }
    }

    /** Tells who asked what came of it. */
    void settle(Reply reply) {
        remove(reply.getCorrelationId()).ifPresent(command -> command.settle(reply));
    }

    /** Has everything without a reply sent on another stream, in the same order. */
    void sendAgain() {
        Deque<ByteString> again = new ArrayDeque<>();
        pending.values().forEach(each -> again.add(each.encoded()));
        outgoing = again;
    }

    /** Fails the commands of an attempt that no longer counts. */
    void forgetAttempt(long attemptToken, ConcertException error) {
        for (Pending<?, ?> each : new ArrayList<>(pending.values())) {
            if (each.attemptToken() == attemptToken) {
                remove(each.correlationId())
                        .ifPresent(command -> command.outcome().failed(error));
            }
        }
        sendAgain();
    }

    /** Fails everything, now and from now on. */
    void close(String message) {
        over = message;
        outgoing.clear();
        List<Pending<?, ?>> left = new ArrayList<>(pending.values());
        pending.clear();
        synchronized (room) {
            isClosed = true;
            room.notifyAll();
        }
        left.forEach(each -> each.outcome().failed(new SessionOverException(message)));
    }

    private Optional<Pending<?, ?>> remove(long correlationId) {
        Pending<?, ?> command = pending.remove(correlationId);
        if (command != null) {
            leave(command.sizeBytes());
        }
        return Optional.ofNullable(command);
    }

    /** One command always has room; more while both limits are kept. Whether it is the only one. */
    private boolean admit(int sizeBytes) {
        synchronized (room) {
            while (!loop.isHere() && !isClosed && admitted > 0 && isFull(sizeBytes)) {
                try {
                    room.wait();
                } catch (InterruptedException interrupted) {
                    throw Waiting.interrupted();
                }
            }
            admitted++;
            admittedBytes += sizeBytes;
            return admitted == 1;
        }
    }

    private boolean isFull(int sizeBytes) {
        return admitted >= Limits.COMMANDS_PENDING_MAX || admittedBytes + sizeBytes > Limits.COMMANDS_PENDING_BYTES_MAX;
    }

    private void leave(int sizeBytes) {
        synchronized (room) {
            admitted--;
            admittedBytes -= sizeBytes;
            room.notify();
        }
    }
}
