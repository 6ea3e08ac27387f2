package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;
import java.util.OptionalInt;

/** The coordinator is too old for this: it speaks an earlier feature level of the contract. Upgrade it. */
public class FeatureMissingException extends ConcertException {
    private static final long serialVersionUID = 1L;

    private final int featureLevel;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public FeatureMissingException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
        this.featureLevel = -1;
    }

    /** On this side. {@code featureLevel} is the one that the coordinator speaks, negative where it did not say. */
    public FeatureMissingException(String message, int featureLevel) {
        super(message, "UNIMPLEMENTED", "", List.of());
        this.featureLevel = featureLevel;
    }

    /** The feature level that the coordinator speaks, where it said so. */
    public OptionalInt featureLevel() {
        return featureLevel < 0 ? OptionalInt.empty() : OptionalInt.of(featureLevel);
    }
}
