package dev.concert;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import dev.concert.errors.InvalidPayloadException;
import dev.concert.internal.Limits;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.Optional;

/**
 * A JSON value, immutable: what tasks are given, what they return, what shared state holds.
 *
 * <p>{@link #of} takes maps with string keys, lists, strings, booleans, numbers, null, and Json; everything that takes
 * JSON in this client takes those too. Numbers are doubles, as the contract's are: whole ones up to 2^53 are exact, beyond
 * that, NaN and infinity are refused before they are sent. What is not there is {@link #isNull null}, all the way down, so
 * that {@code json.get("a").get("b").isNull()} asks for both at once.
 */
public final class Json {
    /** null. */
    public static final Json NULL =
            new Json(Value.newBuilder().setNullValue(NullValue.NULL_VALUE).build());

    private final Value value;

    private Json(Value value) {
        this.value = value;
    }

    /** The contract's value. */
    public static Json of(Value value) {
        return value.getKindCase() == Value.KindCase.KIND_NOT_SET ? NULL : new Json(value);
    }

    /**
     * From plain Java values.
     *
     * @throws InvalidPayloadException for what JSON or the contract does not have, with the path to it
     */
    public static Json of(Object plain) {
        return plain instanceof Json json ? json : new Json(toValue(plain, 1, ""));
    }

    /** The contract's value. */
    public Value toProto() {
        return value;
    }

    /** Whether it is null, or not there. */
    public boolean isNull() {
        return value.getKindCase() == Value.KindCase.NULL_VALUE;
    }

    /** What a map has under a key. */
    public Json get(String key) {
        Value found = value.getStructValue().getFieldsMap().get(key);
        return found == null ? NULL : of(found);
    }

    /** What a list has at an index, from 0. */
    public Json get(int index) {
        ListValue list = value.getListValue();
        return index < 0 || index >= list.getValuesCount() ? NULL : of(list.getValues(index));
    }

    /** How many entries a map or list has; 0 for anything else. */
    public int size() {
        return value.hasStructValue()
                ? value.getStructValue().getFieldsCount()
                : value.getListValue().getValuesCount();
    }

    /** The text. */
    public String asString() {
        expect(value.hasStringValue(), "text");
        return value.getStringValue();
    }

    /** The number. */
    public double asDouble() {
        expect(value.hasNumberValue(), "a number");
        return value.getNumberValue();
    }

    /** The whole number. */
    public long asLong() {
        double number = asDouble();
        expect(isWhole(number), "a whole number");
        return (long) number;
    }

    /** The whole number. */
    public int asInt() {
        return Math.toIntExact(asLong());
    }

    /** The truth. */
    public boolean asBoolean() {
        expect(value.hasBoolValue(), "true or false");
        return value.getBoolValue();
    }

    /** The entries of a list. */
    public List<Json> asList() {
        expect(value.hasListValue(), "a list");
        return value.getListValue().getValuesList().stream().map(Json::of).toList();
    }

    /** The entries of a map. */
    public Map<String, Json> asMap() {
        expect(value.hasStructValue(), "a map");
        Map<String, Json> entries = new LinkedHashMap<>();
        value.getStructValue().getFieldsMap().forEach((key, each) -> entries.put(key, of(each)));
        return entries;
    }

    /** Itself, unless it is null. */
    public Optional<Json> optional() {
        return isNull() ? Optional.empty() : Optional.of(this);
    }

    /** As plain Java: Map, List, String, Boolean, null, and Long for whole numbers up to 2^53, else Double. */
    public Object toJava() {
        return switch (value.getKindCase()) {
            case STRING_VALUE -> value.getStringValue();
            case BOOL_VALUE -> value.getBoolValue();
            case NUMBER_VALUE -> plainNumber(value.getNumberValue());
            case LIST_VALUE -> {
                List<Object> list = new ArrayList<>();
                asList().forEach(each -> list.add(each.toJava()));
                yield list;
            }
            case STRUCT_VALUE -> {
                Map<String, Object> map = new LinkedHashMap<>();
                asMap().forEach((key, each) -> map.put(key, each.toJava()));
                yield map;
            }
            default -> null;
        };
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Json json && value.equals(json.value);
    }

    @Override
    public int hashCode() {
        return value.hashCode();
    }

    /** As JSON text, keys sorted. */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        write(text);
        return text.toString();
    }

    private void write(StringBuilder text) {
        switch (value.getKindCase()) {
            case STRING_VALUE -> quote(value.getStringValue(), text);
            case BOOL_VALUE -> text.append(value.getBoolValue());
            case NUMBER_VALUE -> text.append(plainNumber(value.getNumberValue()));
            case LIST_VALUE -> {
                String separator = "[";
                for (Json each : asList()) {
                    text.append(separator);
                    each.write(text);
                    separator = ",";
                }
                text.append(size() == 0 ? "[]" : "]");
            }
            case STRUCT_VALUE -> {
                String separator = "{";
                for (String key : asMap().keySet().stream().sorted().toList()) {
                    quote(key, text.append(separator));
                    get(key).write(text.append(':'));
                    separator = ",";
                }
                text.append(size() == 0 ? "{}" : "}");
            }
            default -> text.append("null");
        }
    }

    private static void quote(String plain, StringBuilder text) {
        text.append('"');
        for (int index = 0; index < plain.length(); index++) {
            char each = plain.charAt(index);
            switch (each) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                default -> {
                    if (each < 0x20) {
                        text.append(String.format("\\u%04x", (int) each));
                    } else {
                        text.append(each);
                    }
                }
            }
        }
        text.append('"');
    }

    private void expect(boolean isSo, String what) {
        if (!isSo) {
            String found = toString();
            throw new NoSuchElementException(
                    "this is not " + what + ": " + (found.length() > 80 ? found.substring(0, 80) + "…" : found));
        }
    }

    private static Object plainNumber(double number) {
        return isWhole(number) ? (Object) (long) number : (Object) number;
    }

    private static boolean isWhole(double number) {
        return number == Math.rint(number) && Math.abs(number) <= Limits.JSON_INTEGER_MAX;
    }

    private static Value toValue(Object plain, int depth, String path) {
        Value.Builder made = Value.newBuilder();
        if (plain == null) {
            made.setNullValue(NullValue.NULL_VALUE);
        } else if (plain instanceof Json json) {
            return json.value;
        } else if (plain instanceof Value value) {
            return value;
        } else if (plain instanceof CharSequence || plain instanceof Character || plain instanceof Enum<?>) {
            made.setStringValue(encodable(plain.toString(), path));
        } else if (plain instanceof Boolean truth) {
            made.setBoolValue(truth);
        } else if (plain instanceof Number number) {
            made.setNumberValue(number(number, path));
        } else if (plain instanceof Map<?, ?> map) {
            made.setStructValue(toStruct(map, depth, path));
        } else if (plain instanceof Iterable<?> items) {
            checkDepth(depth, path);
            ListValue.Builder list = ListValue.newBuilder();
            for (Object item : items) {
                list.addValues(toValue(item, depth + 1, path + "[" + list.getValuesCount() + "]"));
            }
            made.setListValue(list);
        } else {
            String kind = plain.getClass().getSimpleName();
            throw new InvalidPayloadException(named(path) + " is a " + kind + ", which JSON does not have");
        }
        return made.build();
    }

    private static Struct toStruct(Map<?, ?> map, int depth, String path) {
        checkDepth(depth, path);
        Struct.Builder struct = Struct.newBuilder();
        map.forEach((key, item) -> {
            if (!(key instanceof String name)) {
                throw new InvalidPayloadException(named(path) + " has the key " + key + ": keys are strings");
            }
            struct.putFields(
                    encodable(name, path), toValue(item, depth + 1, path.isEmpty() ? name : path + "." + name));
        });
        return struct.build();
    }

    private static double number(Number number, String path) {
        double as = number.doubleValue();
        if (Double.isNaN(as) || Double.isInfinite(as)) {
            throw new InvalidPayloadException(named(path) + " is " + number + ": JSON has no NaN and no infinity");
        }
        boolean isIntegral = !(number instanceof Double || number instanceof Float);
        if (isIntegral && Math.rint(as) == as && Math.abs(as) >= Limits.JSON_INTEGER_MAX) {
            boolean isExact = Math.abs(as) == Limits.JSON_INTEGER_MAX
                    && Objects.equals(Long.toString((long) as), number.toString());
            if (!isExact) {
                throw new InvalidPayloadException(named(path) + " is an integer beyond 2^53: send it as a string");
            }
        }
        return as;
    }

    private static String encodable(String text, String path) {
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
            throw new InvalidPayloadException(named(path) + " holds text that is not valid Unicode");
        }
        return text;
    }

    private static void checkDepth(int depth, String path) {
        if (depth > Limits.JSON_DEPTH_MAX) {
            String where = path.length() > 80 ? path.substring(0, 80) : path;
            throw new InvalidPayloadException(where + " nests deeper than " + Limits.JSON_DEPTH_MAX + " levels");
        }
    }

    private static String named(String path) {
        return path.isEmpty() ? "the value" : path;
    }
}
