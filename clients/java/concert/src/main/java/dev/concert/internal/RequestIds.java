package dev.concert.internal;

import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.concurrent.atomic.AtomicLong;

/** Unique request ids: a random prefix and a counter. */
public final class RequestIds {
    private static final SecureRandom RANDOM = new SecureRandom();

    private final String prefix = randomHex(8);
    private final AtomicLong count = new AtomicLong();

    /** One that was not given before. */
    public String next() {
        return prefix + "-" + count.incrementAndGet();
    }

    /** That many random bytes, in hexadecimal. */
    public static String randomHex(int bytes) {
        byte[] drawn = new byte[bytes];
        RANDOM.nextBytes(drawn);
        return HexFormat.of().formatHex(drawn);
    }
}
