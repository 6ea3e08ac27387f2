package dev.concert.agent;

import dev.concert.Json;
import dev.concert.Payloads;
import dev.concert.v1.Payload;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;

/** Results of the direct dependencies, by task id or by the name of an agent that did one of them. */
public final class PreviousResults {
    /**
     * One of them.
     *
     * @param taskId the task
     * @param agentName the role of the agent that did it
     * @param payload what it produced
     */
    record Result(String taskId, String agentName, Payload payload) {}

    private final Map<String, Payload> byTask = new LinkedHashMap<>();
    private final Map<String, Map<String, Payload>> byAgent = new LinkedHashMap<>();

    PreviousResults(List<Result> results) {
        for (Result each : results) {
            byTask.put(each.taskId(), each.payload());
            byAgent.computeIfAbsent(each.agentName(), name -> new LinkedHashMap<>())
                    .put(each.taskId(), each.payload());
        }
    }

    /**
     * The JSON of a task's result, or of the only task that an agent of that name did.
     *
     * @throws NoSuchElementException when there is none, or several
     */
    public Json get(String taskIdOrAgentName) {
        return Payloads.json(payload(taskIdOrAgentName));
    }

    /** As {@link #get}, JSON or bytes. */
    public Payload payload(String taskIdOrAgentName) {
        Payload found = byTask.get(taskIdOrAgentName);
        if (found != null) {
            return found;
        }
        Map<String, Payload> tasks = byAgent.getOrDefault(taskIdOrAgentName, Map.of());
        if (tasks.size() > 1) {
            throw new NoSuchElementException(taskIdOrAgentName + " did several tasks: " + tasks.keySet());
        }
        return tasks.values().stream()
                .findFirst()
                .orElseThrow(() -> new NoSuchElementException("there is no result of " + taskIdOrAgentName));
    }

    /** The ids of the tasks. */
    public Set<String> taskIds() {
        return Collections.unmodifiableSet(byTask.keySet());
    }

    /** The results of an agent by task id. */
    public Map<String, Json> byAgent(String agentName) {
        Map<String, Json> found = new LinkedHashMap<>();
        byAgent.getOrDefault(agentName, Map.of()).forEach((id, payload) -> found.put(id, Payloads.json(payload)));
        return found;
    }
}
