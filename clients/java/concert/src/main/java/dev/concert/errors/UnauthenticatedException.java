package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The caller is not known: {@link #needed} names the credential that would do. */
public class UnauthenticatedException extends NotAdmittedException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public UnauthenticatedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
