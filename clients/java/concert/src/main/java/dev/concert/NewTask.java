package dev.concert;

import dev.concert.internal.Times;
import dev.concert.v1.Dependency;
import dev.concert.v1.LockMode;
import dev.concert.v1.RetryPolicy;
import dev.concert.v1.TaskLock;
import dev.concert.v1.TaskSpec;
import dev.concert.v1.TaskTarget;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.function.Consumer;

/**
 * A task that is to be done, for a capability, an agent name, or one agent. Immutable: each method returns a changed copy.
 *
 * <pre>{@code
 * NewTask.of("upload").capability("content_migration").dependsOn("bucket").input(Map.of("files", 3))
 * }</pre>
 */
public final class NewTask {
    private final TaskSpec spec;

    private NewTask(TaskSpec spec) {
        this.spec = spec;
    }

    /** Under an id that is unique within its run, 1 to 128 bytes. */
    public static NewTask of(String taskId) {
        return new NewTask(TaskSpec.newBuilder().setTaskId(taskId).build());
    }

    /** For any agent that has this capability. */
    public NewTask capability(String capability) {
        return with(it -> it.setTarget(TaskTarget.newBuilder().setCapability(capability)));
    }

    /** For any agent of this name. */
    public NewTask agent(String agentName) {
        return with(it -> it.setTarget(TaskTarget.newBuilder().setAgentName(agentName)));
    }

    /** For this very agent. */
    public NewTask agentId(String agentId) {
        return with(it -> it.setTarget(TaskTarget.newBuilder().setAgentId(agentId)));
    }

    /** What it works on: JSON, bytes, or a Payload; at most 1 MiB. */
    public NewTask input(Object input) {
        return with(it -> it.setInput(Payloads.of(input)));
    }

    /** The tasks of these ids have to have succeeded before it starts. */
    public NewTask dependsOn(String... taskIds) {
        return with(
                it -> it.addAllDependsOn(Arrays.stream(taskIds).map(On::task).toList()));
    }

    /** What has to have succeeded before it starts; made with {@link On}. */
    public NewTask dependsOn(Dependency... dependencies) {
        return with(it -> it.addAllDependsOn(Arrays.asList(dependencies)));
    }

    /** The tasks of these ids have to be over, whatever the outcome, before it starts. */
    public NewTask after(String... taskIds) {
        return with(it -> it.addAllAfter(Arrays.stream(taskIds).map(On::task).toList()));
    }

    /** What has to be over before it starts; made with {@link On}. */
    public NewTask after(Dependency... dependencies) {
        return with(it -> it.addAllAfter(Arrays.asList(dependencies)));
    }

    /** Exclusive locks that are taken with its assignment and released with its attempt. */
    public NewTask locks(String... resources) {
        return with(it -> Arrays.stream(resources)
                .forEach(each ->
                        it.addLocks(TaskLock.newBuilder().setResource(each).setMode(LockMode.LOCK_MODE_EXCLUSIVE))));
    }

    /** A lock that is taken with its assignment and released with its attempt. */
    public NewTask lock(TaskLock lock) {
        return with(it -> it.addLocks(lock));
    }

    /** The policy that governs it. */
    public NewTask policy(String name) {
        return with(it -> it.setPolicy(name));
    }

    /** 0 to 9, higher first. */
    public NewTask priority(int level) {
        return with(it -> it.setPriority(level));
    }

    /** How long one attempt may take. */
    public NewTask maxExecutionTime(Duration atMost) {
        return with(it -> it.setMaxExecutionTime(Times.toProto(atMost)));
    }

    /** How failures are tried again. */
    public NewTask retry(RetryPolicy policy) {
        return with(it -> it.setRetry(policy));
    }

    /** How often it is tried at most, the first time included. */
    public NewTask attempts(int atMost) {
        return with(it -> it.setRetry(it.getRetry().toBuilder().setAttemptsMax(atMost)));
    }

    /** Annotations. */
    public NewTask metadata(Map<String, String> entries) {
        return with(it -> it.putAllMetadata(entries));
    }

    /** The contract's message. */
    public TaskSpec toProto() {
        return spec;
    }

    private NewTask with(Consumer<TaskSpec.Builder> change) {
        TaskSpec.Builder changed = spec.toBuilder();
        change.accept(changed);
        return new NewTask(changed.build());
    }
}
