package dev.concert.errors;

import com.google.protobuf.Message;
import com.google.rpc.ResourceInfo;
import java.util.List;

/** The id is used for something else, or an agent lives under it. */
public class AlreadyExistsException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public AlreadyExistsException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** {@code type/name} of what this is about; empty when it was not said. */
    public String resource() {
        return detail(ResourceInfo.class)
                .map(found -> found.getResourceType() + "/" + found.getResourceName())
                .orElse("");
    }
}
