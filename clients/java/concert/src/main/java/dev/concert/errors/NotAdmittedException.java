package dev.concert.errors;

import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import java.util.List;
import java.util.Map;

/** The coordinator does not know who calls, or does not let it. */
public abstract class NotAdmittedException extends ConcertException {
    private static final long serialVersionUID = 1L;

    NotAdmittedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** What the caller lacks, by name; empty where the coordinator did not say. */
    public Map<String, String> needed() {
        return detail(ErrorInfo.class).map(ErrorInfo::getMetadataMap).orElse(Map.of());
    }
}
