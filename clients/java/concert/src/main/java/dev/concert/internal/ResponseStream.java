package dev.concert.internal;

import com.google.protobuf.Message;
import dev.concert.errors.ConcertException;
import dev.concert.errors.UnavailableException;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The responses of a server stream, a few of them read ahead. For one reader. */
public final class ResponseStream<R extends Message> implements AutoCloseable {
    private final BlockingQueue<Item<R>> ready = new LinkedBlockingQueue<>();
    private final ClientCall<?, R> call;
    private Item<R> end;

    /** Either a response, or how the stream ended. */
    private record Item<R>(R response, ConcertException end) {}

    <Q extends Message> ResponseStream(Connection connection, Method<Q, R> method, Q request) {
        Route route = connection.route;
        Route.Way way = route.way();
        ClientCall<Q, R> opened = way.channel().newCall(method.rpc(), connection.callOptions());
        call = opened;
        opened.start(
                new ClientCall.Listener<>() {
                    @Override
                    public void onMessage(R response) {
                        ready.add(new Item<>(response, null));
                    }

                    @Override
                    public void onClose(Status status, Metadata trailers) {
                        ConcertException why = status.isOk()
                                ? new UnavailableException("the stream ended")
                                : route.renewed(
                                        way,
                                        Refusals.fromCall(status, trailers, method.name(), route.address(way.index())));
                        if (why instanceof UnavailableException) {
                            route.avoid(way.index());
                        }
                        ready.add(new Item<>(null, why));
                    }
                },
                connection.headers());
        opened.request(Limits.RESPONSES_AHEAD_MAX);
        opened.sendMessage(request);
        opened.halfClose();
    }

    /** The next response. Throws what ended the stream; UnavailableException when it is silent for too long. */
    public R next(Duration silence) {
        if (end != null) {
            throw end.end();
        }
        Item<R> item;
        try {
            item = ready.poll(silence.toNanos(), TimeUnit.NANOSECONDS);
        } catch (InterruptedException interrupted) {
            throw Waiting.interrupted();
        }
        if (item == null) {
            close();
            throw new UnavailableException("the stream was silent for " + silence.toSeconds() + " s");
        }
        if (item.end() != null) {
            end = item;
            throw item.end();
        }
        call.request(1);
        return item.response();
    }

    /** Ends it; a reader that waits is told. */
    @Override
    public void close() {
        call.cancel("not read any more", null);
    }
}
