package dev.concert.conformance;

import dev.concert.Json;
import dev.concert.NewRun;
import dev.concert.NewTask;
import dev.concert.On;
import dev.concert.v1.Dependency;
import dev.concert.v1.LockMode;
import dev.concert.v1.RetryPolicy;
import dev.concert.v1.TaskLock;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Runs and tasks as a request writes them. */
final class RunArguments {
    private RunArguments() {}

    static NewRun run(Json said) {
        List<Json> agents = list(said.get("agents"));
        NewRun run = agents.isEmpty()
                ? NewRun.of(
                        list(said.get("tasks")).stream().map(RunArguments::task).toList())
                : NewRun.ofAgents(agents.stream().map(Json::asString).toArray(String[]::new));
        for (Map.Entry<String, Json> entry : said.asMap().entrySet()) {
            Json value = entry.getValue();
            run = switch (entry.getKey()) {
                case "run_id" -> run.id(value.asString());
                case "name" -> run.name(value.asString());
                case "context" -> run.context(Values.decoded(value));
                case "timeout" -> run.timeout(duration(value));
                case "running_max" -> run.runningMax(value.asInt());
                case "fail_fast" -> value.asBoolean() ? run.failFast() : run;
                case "policy" -> run.policy(value.asString());
                case "priority" -> run.priority(value.asInt());
                case "metadata" -> run.metadata(strings(value));
                case "open" -> value.asBoolean() ? run.open() : run;
                default -> run;
            };
        }
        return run;
    }

    static NewTask task(Json said) {
        NewTask task = NewTask.of(said.get("task_id").asString());
        for (Map.Entry<String, Json> entry : said.asMap().entrySet()) {
            Json value = entry.getValue();
            task = switch (entry.getKey()) {
                case "capability" -> value.asString().isEmpty() ? task : task.capability(value.asString());
                case "agent" -> value.asString().isEmpty() ? task : task.agent(value.asString());
                case "agent_id" -> value.asString().isEmpty() ? task : task.agentId(value.asString());
                case "input" -> task.input(Values.decoded(value));
                case "depends_on" -> task.dependsOn(dependencies(value));
                case "after" -> task.after(dependencies(value));
                case "locks" -> locks(task, value);
                case "policy" -> task.policy(value.asString());
                case "priority" -> task.priority(value.asInt());
                case "max_execution_time" -> task.maxExecutionTime(duration(value));
                case "retry" -> task.retry(retry(value));
                case "metadata" -> task.metadata(strings(value));
                default -> task;
            };
        }
        return task;
    }

    static Duration duration(Json seconds) {
        return Duration.ofNanos((long) (seconds.asDouble() * 1e9));
    }

    static Map<String, String> strings(Json map) {
        Map<String, String> strings = new HashMap<>();
        map.asMap().forEach((key, value) -> strings.put(key, value.asString()));
        return strings;
    }

    static List<Json> list(Json value) {
        return value.isNull() ? List.of() : value.asList();
    }

    private static Dependency[] dependencies(Json entries) {
        return entries.asList().stream().map(RunArguments::dependency).toArray(Dependency[]::new);
    }

    private static Dependency dependency(Json entry) {
        if (!entry.get("agent").isNull()) {
            return On.agent(entry.get("agent").asString());
        }
        return entry.get("capability").isNull()
                ? On.task(entry.asString())
                : On.capability(entry.get("capability").asString());
    }

    private static NewTask locks(NewTask task, Json locks) {
        NewTask locked = task;
        for (Json lock : locks.asList()) {
            if (lock.get("resource").isNull()) {
                locked = locked.locks(lock.asString());
                continue;
            }
            boolean isShared =
                    lock.get("mode").optional().map(Json::asString).orElse("").equals("shared");
            locked = locked.lock(TaskLock.newBuilder()
                    .setResource(lock.get("resource").asString())
                    .setMode(isShared ? LockMode.LOCK_MODE_SHARED : LockMode.LOCK_MODE_EXCLUSIVE)
                    .setGuards(lock.get("guards").optional().map(Json::asString).orElse(""))
                    .build());
        }
        return locked;
    }

    private static RetryPolicy retry(Json said) {
        RetryPolicy.Builder policy = RetryPolicy.newBuilder();
        said.get("attempts_max").optional().ifPresent(value -> policy.setAttemptsMax(value.asInt()));
        said.get("lost_attempts_max").optional().ifPresent(value -> policy.setLostAttemptsMax(value.asInt()));
        said.get("backoff_multiplier").optional().ifPresent(value -> policy.setBackoffMultiplier(value.asDouble()));
        said.get("backoff_initial").optional().ifPresent(value -> policy.setBackoffInitial(proto(value)));
        said.get("backoff_max").optional().ifPresent(value -> policy.setBackoffMax(proto(value)));
        return policy.build();
    }

    private static com.google.protobuf.Duration proto(Json seconds) {
        Duration duration = duration(seconds);
        return com.google.protobuf.Duration.newBuilder()
                .setSeconds(duration.getSeconds())
                .setNanos(duration.getNano())
                .build();
    }
}
