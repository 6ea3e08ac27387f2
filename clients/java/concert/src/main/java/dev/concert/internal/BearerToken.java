package dev.concert.internal;

import dev.concert.TokenSource;
import dev.concert.errors.ConcertException;
import io.grpc.CallCredentials;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Puts a token into the metadata of every call. */
final class BearerToken extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(run -> {
        Thread thread = new Thread(run, "concert-token");
        thread.setDaemon(true);
        return thread;
    });

    private final TokenSource source;

    BearerToken(TokenSource source) {
        this.source = source;
    }

    /** On a thread of its own: a source may block, and the channels run what they are given where they are. */
    @Override
    public void applyRequestMetadata(RequestInfo call, Executor unused, MetadataApplier applier) {
        THREADS.execute(() -> {
            Metadata headers = new Metadata();
            try {
                headers.put(AUTHORIZATION, "Bearer " + source.token());
            } catch (Exception | Error failed) {
                applier.fail(codeOf(failed)
                        .withDescription("there is no token: " + failed)
                        .withCause(failed));
                return;
            }
            applier.apply(headers);
        });
    }

    private static Status codeOf(Throwable failed) {
        if (failed instanceof ConcertException known) {
            try {
                return Status.fromCode(Status.Code.valueOf(known.code()));
            } catch (IllegalArgumentException newer) {
                return Status.UNAUTHENTICATED;
            }
        }
        return Status.UNAUTHENTICATED;
    }
}
