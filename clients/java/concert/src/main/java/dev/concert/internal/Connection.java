package dev.concert.internal;

import com.google.protobuf.Message;
import dev.concert.TokenSource;
import dev.concert.errors.InvalidArgumentException;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.Metadata;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The way to a coordinator: unary calls with retry, server streams, and the event loop of them all. */
public final class Connection implements Caller {
    private static final Metadata.Key<String> TRACEPARENT =
            Metadata.Key.of(Tracing.TRACEPARENT, Metadata.ASCII_STRING_MARSHALLER);

    final Route route;
    private final CallOptions callOptions;
    private final String namespace;
    private final Map<Metadata.Key<String>, String> metadata;
    private final Duration callFor;
    private final Duration retryFor;
    private final RequestIds requestIds = new RequestIds();
    private final EventLoop loop = new EventLoop("concert-io");
    private final Set<UnaryCall<?, ?>> underWay = ConcurrentHashMap.newKeySet();
    private volatile boolean isClosed;

    /** {@code metadata} goes with every call, and so does the token, unless it is null. */
    public Connection(
            List<String> addresses,
            String namespace,
            Supplier<ChannelCredentials> credentials,
            TokenSource token,
            String authority,
            Map<String, String> metadata,
            Duration callFor,
            Duration retryFor) {
        if (addresses.isEmpty()) {
            throw new InvalidArgumentException("there is no address to connect to");
        }
        this.route = new Route(List.copyOf(addresses), credentials, authority);
        this.callOptions =
                token == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withCallCredentials(new BearerToken(token));
        this.namespace = namespace;
        this.callFor = callFor;
        this.retryFor = retryFor;
        this.metadata = keyed(metadata);
    }

    private static Map<Metadata.Key<String>, String> keyed(Map<String, String> metadata) {
        Map<Metadata.Key<String>, String> keyed = new java.util.LinkedHashMap<>();
        metadata.forEach((name, value) -> keyed.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value));
        return keyed;
    }

    /** The namespace of its calls; empty for "default". */
    public String namespace() {
        return namespace;
    }

    @Override
    public String lockIdentity() {
        return "";
    }

    @Override
    public Object holders() {
        return List.of(route.addresses(), namespace);
    }

    @Override
    public Duration retryFor() {
        return retryFor;
    }

    @Override
    public EventLoop loop() {
        return loop;
    }

    @Override
    public <Q extends Message, R extends Message> CompletableFuture<R> call(
            Method<Q, R> method, Q request, Duration within) {
        Q completed = method.complete(request, namespace, requestIds);
        Metadata headers = headers();
        return new UnaryCall<>(this, method, completed, headers, within == null ? callFor : within).begin();
    }

    @Override
    public <Q extends Message, R extends Message> ResponseStream<R> stream(Method<Q, R> method, Q request) {
        return new ResponseStream<>(this, method, method.complete(request, namespace, requestIds));
    }

    @Override
    public Runnable onLost(Runnable lost) {
        return () -> {};
    }

    /** Of every call. */
    CallOptions callOptions() {
        return callOptions;
    }

    /** What goes with a call. */
    Metadata headers() {
        Metadata headers = new Metadata();
        metadata.forEach(headers::put);
        String traceparent = Tracing.currentTraceparent();
        if (!traceparent.isEmpty()) {
            headers.put(TRACEPARENT, traceparent);
        }
        return headers;
    }

    /** Somebody waits for the call's answer: once this is closed nobody else ends it, so that does. */
    void begun(UnaryCall<?, ?> call) {
        underWay.add(call);
        if (isClosed) {
            call.endWithClient();
        }
    }

    void over(UnaryCall<?, ?> call) {
        underWay.remove(call);
    }

    /** Closes the channels; calls still open are cancelled. */
    public void close() {
        isClosed = true;
        route.close();
        loop.stop();
        List.copyOf(underWay).forEach(UnaryCall::endWithClient);
    }
}
