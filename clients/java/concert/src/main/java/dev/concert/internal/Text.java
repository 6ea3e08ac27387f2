package dev.concert.internal;

import java.nio.charset.StandardCharsets;

/** Text that has to fit into so many bytes of UTF-8. */
public final class Text {
    private static final String CUT = "…";

    private Text() {}

    /** The text, its end cut off where it is too long. */
    public static String clip(String text, int bytesMax) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        if (encoded.length <= bytesMax) {
            return new String(encoded, StandardCharsets.UTF_8);
        }
        int end = bytesMax - 3;
        while (end > 0 && isContinuation(encoded[end])) {
            end--;
        }
        return new String(encoded, 0, end, StandardCharsets.UTF_8) + CUT;
    }

    /** The text, its beginning cut off where it is too long. */
    public static String clipStart(String text, int bytesMax) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        if (encoded.length <= bytesMax) {
            return new String(encoded, StandardCharsets.UTF_8);
        }
        int begin = encoded.length - bytesMax + 3;
        while (begin < encoded.length && isContinuation(encoded[begin])) {
            begin++;
        }
        return CUT + new String(encoded, begin, encoded.length - begin, StandardCharsets.UTF_8);
    }

    private static boolean isContinuation(byte each) {
        return (each & 0xC0) == 0x80;
    }
}
