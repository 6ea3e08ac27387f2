package dev.concert.internal;

import dev.concert.errors.ConcertException;
import dev.concert.errors.UnauthenticatedException;
import dev.concert.errors.UnavailableException;
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
    private final List<Way> shared = new ArrayList<>();
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
     * @param by what it was made with
     */
    record Way(int index, ManagedChannel channel, ChannelCredentials by) {}

    /** The channel that unary calls and server streams share. */
    synchronized Way way() {
        if (shared.get(current) == null) {
            Way made = open();
            shared.set(current, made);
            if (closed) {
                made.channel().shutdownNow();
            }
        }
        return shared.get(current);
    }

    /** A channel of its own, to be closed by whoever asked for it. */
    synchronized Way open() {
        ChannelCredentials by = credentials.get();
        return new Way(current, build(addresses.get(current), by), by);
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
        ChannelCredentials newest = credentials.get();
        shared.stream()
                .filter(each -> each != null && each.by() != newest)
                .forEach(each -> each.channel().shutdown());
        shared.replaceAll(each -> each != null && each.by() != newest ? null : each);
        if (index == current) {
            current = (current + 1) % addresses.size();
        }
        Way next = shared.get(current);
        if (next != null && next.channel().getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
            next.channel().resetConnectBackoff();
        }
    }

    /**
     * A refusal of a call on that way. A caller who is not known by the certificate that the way was made with may be by one
     * that was renewed since: that is UNAVAILABLE, and the next way is another.
     */
    ConcertException renewed(Way way, ConcertException refusal) {
        boolean renewed = refusal instanceof UnauthenticatedException && credentials.get() != way.by();
        return renewed
                ? new UnavailableException("the connection to " + address(way.index())
                        + " was made with a certificate that was renewed since")
                : refusal;
    }

    synchronized void close() {
        closed = true;
        shared.stream()
                .filter(each -> each != null)
                .forEach(each -> each.channel().shutdownNow());
    }

    private ManagedChannel build(String address, ChannelCredentials by) {
        NettyChannelBuilder builder = NettyChannelBuilder.forTarget(address, by)
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
