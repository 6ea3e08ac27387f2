package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** Another request was made under this request id. */
public class RequestIdReusedException extends InvalidArgumentException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public RequestIdReusedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
