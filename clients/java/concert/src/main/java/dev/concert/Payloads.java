package dev.concert;

import com.google.protobuf.ByteString;
import dev.concert.errors.InvalidPayloadException;
import dev.concert.internal.Limits;
import dev.concert.v1.Payload;

/** JSON and bytes to and from the contract's Payload; what the contract refuses is refused before it is sent. */
public final class Payloads {
    private Payloads() {}

    /**
     * The Payload for {@code byte[]} or {@link ByteString} (data), or for JSON as {@link Json#of(Object)} takes it; a
     * Payload passes through.
     *
     * @throws InvalidPayloadException also above 1 MiB encoded
     */
    public static Payload of(Object content) {
        Payload payload;
        if (content instanceof Payload made) {
            payload = made;
        } else if (content instanceof byte[] bytes) {
            payload = Payload.newBuilder().setData(ByteString.copyFrom(bytes)).build();
        } else if (content instanceof ByteString bytes) {
            payload = Payload.newBuilder().setData(bytes).build();
        } else {
            payload = Payload.newBuilder().setJson(Json.of(content).toProto()).build();
        }
        int sizeBytes = payload.getSerializedSize();
        if (sizeBytes > Limits.PAYLOAD_BYTES_MAX) {
            throw new InvalidPayloadException(
                    "a payload of " + sizeBytes + " bytes is over the limit of " + Limits.PAYLOAD_BYTES_MAX);
        }
        return payload;
    }

    /** Bytes with their media type, such as "image/png". */
    public static Payload of(byte[] data, String contentType) {
        Payload.Builder payload = Payload.newBuilder().setData(ByteString.copyFrom(data));
        return of((Object) payload.setContentType(contentType).build());
    }

    /** The JSON of a Payload; null when it is empty, and for bytes, which {@link Payload#getData} has. */
    public static Json json(Payload payload) {
        return payload.hasJson() ? Json.of(payload.getJson()) : Json.NULL;
    }
}
