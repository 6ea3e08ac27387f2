package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The caller may not do this: {@link #needed} names the role, namespace and principal. */
public class PermissionDeniedException extends NotAdmittedException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public PermissionDeniedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
