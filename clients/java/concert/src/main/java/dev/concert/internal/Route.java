package dev.concert.internal;

import io.grpc.ChannelCredentials;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The ways to the coordinator's replicas: any of them takes any call, so one is used until it fails, then the next.
 */
final class Route {
    private final List<String> addresses;
    private final Supplier<ChannelCredentials> credentials;
    private final String authority;
    private final List<ManagedChannel> shared = new ArrayList<>();
    private ChannelCredentials sharedBy;
    private int current;
    private boolean closed;

    Route(List<String> addresses, Supplier<ChannelCredentials> credentials, String authority) {
        this.addresses = addresses;
        this.credentials = credentials;
        this.authority = authority;
        addresses.forEach(each -> shared.add(null));
    }

    /**
     * A way to one of them.
     *
     * @param index which one
     * @param channel the channel there
     */
    record Way(int index, ManagedChannel channel) {}

    /** The channel that unary calls and server streams share. */
    synchronized Way way() {
        if (shared.get(current) == null) {
            ManagedChannel made = build(addresses.get(current));
            sharedBy = credentials.get();
            shared.set(current, made);
            if (closed) {
                made.shutdownNow();
            }
        }
        return new Way(current, shared.get(current));
    }

    /** A channel of its own, to be closed by whoever asked for it. */
    synchronized Way open() {
        return new Way(current, build(addresses.get(current)));
    }

    List<String> addresses() {
        return addresses;
    }

    synchronized String address(int index) {
        return addresses.get(index);
    }

    /**
     * That way is blocked, or about to be: the next one, or a fresh try of the only one, with certificates that were renewed
     * if they were. Calls that are under way on the old channels end there.
     */
    synchronized void avoid(int index) {
        if (sharedBy != null && credentials.get() != sharedBy) {
            shared.stream().filter(each -> each != null).forEach(ManagedChannel::shutdown);
            shared.replaceAll(each -> null);
        }
        if (index == current) {
            current = (current + 1) % addresses.size();
        }
        ManagedChannel next = shared.get(current);
        if (next != null && next.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
            next.resetConnectBackoff();
        }
    }

    synchronized void close() {
        closed = true;
        shared.stream().filter(each -> each != null).forEach(ManagedChannel::shutdownNow);
    }

    private ManagedChannel build(String address) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(address, credentials.get())
                .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Limits.CONNECT_MAX.toMillis())
                .keepAliveTime(Limits.KEEPALIVE_PING.toMillis(), TimeUnit.MILLISECONDS)
                .keepAliveTimeout(Limits.KEEPALIVE_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)
                .keepAliveWithoutCalls(true)
                .maxInboundMessageSize(Limits.MESSAGE_BYTES_MAX)
                .disableRetry() // retries are ours, under one request id
                .directExecutor(); // nothing that listens here blocks
        if (!authority.isEmpty()) {
            builder.overrideAuthority(authority);
        }
        return builder.build();
    }
}
