package dev.concert.internal;

import dev.concert.errors.InvalidArgumentException;
import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** TLS with certificates from PEM files: the same credentials until a file has changed. */
public final class TlsFiles implements Supplier<ChannelCredentials> {
    private final Path authorities;
    private final Path certificate;
    private final Path key;
    private List<FileTime> version = List.of();
    private ChannelCredentials made;

    /** Any may be null; a certificate and its key go together. Throws InvalidArgumentException for files that cannot be read. */
    public TlsFiles(Path authorities, Path certificate, Path key) {
        if ((certificate == null) != (key == null)) {
            throw new InvalidArgumentException("a client certificate and its key go together");
        }
        this.authorities = authorities;
        this.certificate = certificate;
        this.key = key;
        get();
    }

    /** For a new connection. Files that cannot be read change nothing: they may be on their way. */
    @Override
    public synchronized ChannelCredentials get() {
        try {
            List<FileTime> now = versionNow();
            if (made == null || !now.equals(version)) {
                made = build();
                version = now;
            }
        } catch (IOException unreadable) {
            if (made == null) {
                throw new InvalidArgumentException("no TLS: " + unreadable);
            }
        }
        return made;
    }

    private ChannelCredentials build() throws IOException {
        TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
        if (authorities != null) {
            builder.trustManager(authorities.toFile());
        }
        if (certificate != null) {
            builder.keyManager(certificate.toFile(), key.toFile());
        }
        return builder.build();
    }

    private List<FileTime> versionNow() throws IOException {
        List<FileTime> found = new java.util.ArrayList<>();
        for (Path each : Stream.of(authorities, certificate, key)
                .filter(path -> path != null)
                .toList()) {
            found.add(Files.getLastModifiedTime(each));
        }
        return found;
    }
}
