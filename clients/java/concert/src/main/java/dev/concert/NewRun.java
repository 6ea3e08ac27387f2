package dev.concert;

import dev.concert.internal.Times;
import dev.concert.v1.RunSpec;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.function.Consumer;

/** A run that is to be submitted. Immutable: each method returns a changed copy. */
public final class NewRun {
    private final RunSpec spec;

    private NewRun(RunSpec spec) {
        this.spec = spec;
    }

    /** Of these tasks, in any order. */
    public static NewRun of(NewTask... tasks) {
        return of(Arrays.asList(tasks));
    }

    /** Of these tasks, in any order, at most 10 000. */
    public static NewRun of(Collection<NewTask> tasks) {
        return new NewRun(RunSpec.newBuilder()
                .addAllTasks(tasks.stream().map(NewTask::toProto).toList())
                .build());
    }

    /** Of one task for each of these agent names, as each said of itself when it registered last. */
    public static NewRun ofAgents(String... agentNames) {
        return new NewRun(
                RunSpec.newBuilder().addAllAgents(Arrays.asList(agentNames)).build());
    }

    /** Its id, 1 to 128 bytes; the coordinator names it unless said. */
    public NewRun id(String runId) {
        return with(it -> it.setRunId(runId));
    }

    /** For people. */
    public NewRun name(String name) {
        return with(it -> it.setName(name));
    }

    /** Handed to every task: JSON, bytes, or a Payload. */
    public NewRun context(Object context) {
        return with(it -> it.setContext(Payloads.of(context)));
    }

    /** How long it may take. */
    public NewRun timeout(Duration atMost) {
        return with(it -> it.setTimeout(Times.toProto(atMost)));
    }

    /** How many of its tasks run at once. */
    public NewRun runningMax(int tasks) {
        return with(it -> it.setRunningMax(tasks));
    }

    /** The first task that fails for good cancels everything unfinished. */
    public NewRun failFast() {
        return with(it -> it.setFailFast(true));
    }

    /** The policy of tasks that name none. */
    public NewRun policy(String name) {
        return with(it -> it.setPolicy(name));
    }

    /** Priority of tasks that name none, 0 to 9. */
    public NewRun priority(int level) {
        return with(it -> it.setPriority(level));
    }

    /** Annotations. */
    public NewRun metadata(Map<String, String> entries) {
        return with(it -> it.putAllMetadata(entries));
    }

    /** Tasks may be added from outside; it is over only after the last ones were. */
    public NewRun open() {
        return with(it -> it.setOpen(true));
    }

    /** The contract's message. */
    public RunSpec toProto() {
        return spec;
    }

    private NewRun with(Consumer<RunSpec.Builder> change) {
        RunSpec.Builder changed = spec.toBuilder();
        change.accept(changed);
        return new NewRun(changed.build());
    }
}
