package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.DependencyCycle;
import java.util.List;

/** The tasks of a run depend on each other in a circle. */
public class DependencyCycleException extends InvalidArgumentException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public DependencyCycleException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** The ids of the tasks, in order; the first depends on the last. */
    public List<String> cycle() {
        return detail(DependencyCycle.class)
                .map(cycle -> List.copyOf(cycle.getTaskIdsList()))
                .orElse(List.of());
    }
}
