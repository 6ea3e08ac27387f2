package dev.concert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.concert.errors.InvalidPayloadException;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.Test;

class JsonTest {
    @Test
    void plainValuesComeBackAsTheyWere() {
        Map<String, Object> plain = new HashMap<>();
        plain.put("text", "häuser 🎵 \"quoted\"\n");
        plain.put("whole", 1L << 53);
        plain.put("negative", -3L);
        plain.put("fraction", 0.25);
        plain.put("yes", true);
        plain.put("nothing", null);
        plain.put("list", Arrays.asList(1L, null, List.of("a")));
        plain.put("empty", Map.of());
        assertEquals(plain, Json.of(plain).toJava());
    }

    @Test
    void whatIsNotThereIsNullAllTheWayDown() {
        assertTrue(Json.of(Map.of("a", List.of())).get("a").get(3).get("b").isNull());
        assertTrue(Json.of("text").get("a").isNull());
    }

    @Test
    void askingForTheWrongKindNamesWhatIsThere() {
        NoSuchElementException wrong =
                assertThrows(NoSuchElementException.class, () -> Json.of("x").asLong());
        assertEquals("this is not a number: \"x\"", wrong.getMessage());
        assertThrows(NoSuchElementException.class, () -> Json.of(0.5).asLong());
    }

    @Test
    void itsTextIsJson() {
        Json json = Json.of(Map.of("b", List.of(1, 2.5, "\u0001\"")));
        assertEquals("{\"b\":[1,2.5,\"\\u0001\\\"\"]}", json.toString());
        assertEquals("[]", Json.of(List.of()).toString());
    }

    @Test
    void whatTheContractDoesNotHaveIsRefusedWithThePathToIt() {
        assertRefused(Map.of("a", List.of(1, Double.NaN)), "a[1]");
        assertRefused(Double.POSITIVE_INFINITY, "the value");
        assertRefused(Map.of("a", Map.of("b", (1L << 53) + 1)), "a.b");
        assertRefused(BigInteger.TWO.pow(53).add(BigInteger.ONE), "2^53");
        assertRefused(Map.of("a", new Object()), "a is a Object");
        assertRefused(Map.of(1, "a"), "keys are strings");
        assertRefused("\ud800", "Unicode");
    }

    @Test
    void nestingIsLimited() {
        Object nested = List.of();
        for (int depth = 1; depth < 28; depth++) {
            nested = List.of(nested);
        }
        Json.of(nested);
        assertRefused(new ArrayList<>(List.of(nested)), "deeper than 28");
    }

    @Test
    void aPayloadOverTheLimitIsRefused() {
        assertThrows(InvalidPayloadException.class, () -> Payloads.of(new byte[1024 * 1024]));
        assertEquals(1024, Payloads.of(new byte[1024]).getData().size());
        assertThrows(InvalidPayloadException.class, () -> Payloads.of("x".repeat(1024 * 1024)));
    }

    private static void assertRefused(Object plain, String said) {
        String message = assertThrows(InvalidPayloadException.class, () -> Json.of(plain))
                .getMessage();
        assertTrue(message.contains(said), message);
    }
}
