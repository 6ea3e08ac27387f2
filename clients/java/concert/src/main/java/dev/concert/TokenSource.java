package dev.concert;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;

/**
 * Gives the bearer token that is valid now. It is asked for every call and every stream, on threads of the library, so it
 * should remember its answer and may block. When it throws, the call ends with UnauthenticatedException; a ConcertException
 * keeps its code, so that what is unavailable is tried again.
 */
@FunctionalInterface
public interface TokenSource {
    /** The token. */
    String token() throws Exception;

    /** One that stays the same. */
    static TokenSource of(String token) {
        return () -> token;
    }

    /** Follows a file, such as a mounted secret: it is read again once it has changed. */
    static TokenSource file(Path path) {
        return new TokenSource() {
            private FileTime changed;
            private String token;

            @Override
            public synchronized String token() throws Exception {
                FileTime now = Files.getLastModifiedTime(path);
                if (!now.equals(changed)) {
                    token = Files.readString(path).strip();
                    changed = now;
                }
                return token;
            }
        };
    }
}
