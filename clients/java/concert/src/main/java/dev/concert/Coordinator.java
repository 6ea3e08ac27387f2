package dev.concert;

import dev.concert.errors.InvalidArgumentException;
import dev.concert.internal.Connection;
import dev.concert.internal.Limits;
import dev.concert.internal.Loopback;
import dev.concert.internal.TlsFiles;
import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Supplier;

/**
 * Where a coordinator is and how it is talked to. Immutable: each method returns a changed copy.
 *
 * <pre>{@code
 * Client client = Coordinator.at("one:7420", "two:7420").namespace("blog").connect();
 * }</pre>
 */
public final class Coordinator {
    /** Where a coordinator listens unless it is told otherwise. */
    public static final String ADDRESS_DEFAULT = "127.0.0.1:7420";

    private static final ChannelCredentials PLAINTEXT = InsecureChannelCredentials.create();

    private final List<String> addresses;
    private final String namespace;
    private final String writer;
    private final Map<String, String> metadata;
    private final Supplier<ChannelCredentials> credentials;
    private final TokenSource token;
    private final String authority;
    private final Duration callFor;
    private final Duration retryFor;

    private Coordinator(
            List<String> addresses,
            String namespace,
            String writer,
            Map<String, String> metadata,
            Supplier<ChannelCredentials> credentials,
            TokenSource token,
            String authority,
            Duration callFor,
            Duration retryFor) {
        this.addresses = addresses;
        this.namespace = namespace;
        this.writer = writer;
        this.metadata = metadata;
        this.credentials = credentials;
        this.token = token;
        this.authority = authority;
        this.callFor = callFor;
        this.retryFor = retryFor;
    }

    /**
     * At one of these addresses, {@code host:port}, the replicas of one coordinator: one is used until it fails, then the
     * next. Without any: {@link #ADDRESS_DEFAULT}.
     */
    public static Coordinator at(String... addresses) {
        return new Coordinator(
                addresses.length == 0 ? List.of(ADDRESS_DEFAULT) : List.of(addresses),
                "",
                "",
                Map.of(),
                () -> PLAINTEXT,
                null,
                "",
                Limits.CALL_DEFAULT,
                Limits.RETRY_DEFAULT);
    }

    /** The namespace of every call; "default" unless said. */
    public Coordinator namespace(String named) {
        return new Coordinator(addresses, named, writer, metadata, credentials, token, authority, callFor, retryFor);
    }

    /**
     * Who writes shared state outside of sessions and attempts, at most 128 bytes. A random name unless said, so that a
     * client's own writes are not taken for somebody else's.
     */
    public Coordinator writer(String named) {
        return new Coordinator(addresses, namespace, named, metadata, credentials, token, authority, callFor, retryFor);
    }

    /** What goes with every call. */
    public Coordinator metadata(Map<String, String> entries) {
        return new Coordinator(
                addresses, namespace, writer, Map.copyOf(entries), credentials, token, authority, callFor, retryFor);
    }

    /** TLS with the authorities that this machine trusts. */
    public Coordinator tls() {
        return tls(null, null, null);
    }

    /** TLS with the authorities in a PEM file. Read again for new connections once it has changed. */
    public Coordinator tls(Path authorities) {
        return tls(authorities, null, null);
    }

    /**
     * Mutual TLS: the certificate, with its chain, and the key of this client, PEM files like the authorities; {@code null}
     * for those that this machine trusts. Files that have changed are read again for new connections.
     *
     * @throws dev.concert.errors.InvalidArgumentException when one cannot be read
     */
    public Coordinator tls(Path authorities, Path certificate, Path key) {
        return secured(new TlsFiles(authorities, certificate, key));
    }

    /** How the channel is secured, as {@link io.grpc.TlsChannelCredentials#newBuilder} makes it; not at all unless said. */
    public Coordinator credentials(ChannelCredentials secured) {
        Objects.requireNonNull(secured);
        return secured(() -> secured);
    }

    private Coordinator secured(Supplier<ChannelCredentials> by) {
        return new Coordinator(addresses, namespace, writer, metadata, by, token, authority, callFor, retryFor);
    }

    /**
     * What goes with every call as its bearer token: {@link TokenSource#file}, {@link TokenSource#of}, or a function. It is
     * not sent in plain text beyond this machine: {@link #connect} throws then.
     */
    public Coordinator token(TokenSource source) {
        return new Coordinator(
                addresses, namespace, writer, metadata, credentials, source, authority, callFor, retryFor);
    }

    /** The name that the server's certificate is for, where that is not the one in the address. */
    public Coordinator authority(String name) {
        return new Coordinator(addresses, namespace, writer, metadata, credentials, token, name, callFor, retryFor);
    }

    /** How long a call may take that does not say otherwise; 60 s unless said. */
    public Coordinator callFor(Duration atMost) {
        return new Coordinator(addresses, namespace, writer, metadata, credentials, token, authority, atMost, retryFor);
    }

    /** How long a call that is UNAVAILABLE is tried again, under one request id; 30 s unless said. */
    public Coordinator retryFor(Duration atMost) {
        return new Coordinator(addresses, namespace, writer, metadata, credentials, token, authority, callFor, atMost);
    }

    /**
     * A client. It connects with its first call.
     *
     * @throws dev.concert.errors.InvalidArgumentException when a token would go out in plain text
     */
    public Client connect() {
        return new Client(connection(), writer);
    }

    /** For the rest of this library: the connection that this describes. */
    public Connection connection() {
        if (token != null
                && credentials.get() instanceof InsecureChannelCredentials
                && !addresses.stream().allMatch(Loopback::is)) {
            throw new InvalidArgumentException("a token is not sent to " + String.join(", ", addresses)
                    + " in plain text: give TLS, with tls(...) or credentials(...)");
        }
        return new Connection(addresses, namespace, credentials, token, authority, metadata, callFor, retryFor);
    }
}
