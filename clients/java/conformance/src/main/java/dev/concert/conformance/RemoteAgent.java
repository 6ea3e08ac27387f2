package dev.concert.conformance;

import dev.concert.Json;
import dev.concert.Surface;
import dev.concert.agent.Agent;
import dev.concert.agent.AgentHost;
import dev.concert.agent.Capability;
import dev.concert.agent.Handler;
import dev.concert.agent.NotRetryableException;
import dev.concert.agent.PreconditionFailedException;
import dev.concert.agent.TaskContext;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

/** An agent whose handlers do what the runner says, one thing after another. */
final class RemoteAgent implements Handler {
    /** Something to be done with a caller. */
    @FunctionalInterface
    interface Operation {
        Object apply(Surface caller, Json args) throws Exception;
    }

    private record Order(String op, Json args, Operation operation, CompletableFuture<Object> answer) {}

    private final String handle;
    private final Consumer<Map<String, Object>> say;
    private final Map<String, Object> things;
    private final Json preconditions;
    private final boolean cleanupThrows;
    private Agent agent;
    private AgentHost host;

    RemoteAgent(String handle, Json args, Consumer<Map<String, Object>> say, Map<String, Object> things) {
        this.handle = handle;
        this.say = say;
        this.things = things;
        this.preconditions = args.get("preconditions");
        this.cleanupThrows =
                args.get("cleanup_throws").optional().map(Json::asBoolean).orElse(false);
        String role = handle.substring(handle.lastIndexOf(':') + 1);
        agent = Agent.named(
                        args.get("agent_name").optional().map(Json::asString).orElse(role))
                .onAny(this);
        args.get("agent_id").optional().ifPresent(id -> agent = agent.id(id.asString()));
        args.get("slots").optional().ifPresent(slots -> agent = agent.slots(slots.asInt()));
        describe(args);
    }

    /** What it says of itself from now on. */
    Agent describe(Json args) {
        if (!args.get("capabilities").isNull()) {
            agent = agent.withoutAll();
            args.get("capabilities").asList().forEach(each -> agent = agent.on(capability(each), this));
        }
        args.get("labels").optional().ifPresent(labels -> agent = agent.labels(RunArguments.strings(labels)));
        return agent;
    }

    private static Capability capability(Json said) {
        if (said.get("name").isNull()) {
            return Capability.of(said.asString());
        }
        return new Capability(
                said.get("name").asString(),
                said.get("version").optional().map(Json::asString).orElse(""),
                said.get("labels").optional().map(RunArguments::strings).orElse(Map.of()));
    }

    Agent agent() {
        return agent;
    }

    AgentHost host() {
        return host;
    }

    void hostedBy(AgentHost hosting) {
        host = hosting;
    }

    @Override
    public void validatePreconditions(TaskContext context) throws PreconditionFailedException {
        Json unmet = preconditions.get(context.capability());
        if (!unmet.isNull()) {
            throw new PreconditionFailedException(unmet.asString());
        }
    }

    @Override
    public Object execute(TaskContext context) throws Exception {
        Attempt attempt = new Attempt(context);
        String name = nameOf(context);
        things.put(name, attempt);
        say.accept(executing(context));
        try {
            return attempt.handle();
        } catch (InterruptedException cancelled) {
            say.accept(Map.of("notice", "cancelled", "on", handle, "attempt", name));
            throw cancelled;
        } finally {
            things.remove(name);
        }
    }

    @Override
    public void cleanup(TaskContext context) {
        say.accept(Map.of("notice", "cleaned_up", "on", handle, "attempt", nameOf(context)));
        if (cleanupThrows) {
            throw new IllegalStateException("clean-up was told to throw");
        }
    }

    private String nameOf(TaskContext context) {
        return handle + "/" + context.attemptToken();
    }

    private Map<String, Object> executing(TaskContext context) {
        Map<String, Object> notice = new LinkedHashMap<>();
        notice.put("notice", "executing");
        notice.put("on", handle);
        notice.put("attempt", nameOf(context));
        notice.put("run_id", context.runId());
        notice.put("task_id", context.taskId());
        notice.put("number", context.attempt());
        notice.put("attempt_token", context.attemptToken());
        notice.put("capability", context.capability());
        notice.put("input", Values.encoded(context.inputPayload()));
        notice.put("context", Values.encoded(context.runContextPayload()));
        Map<String, Object> locks = new LinkedHashMap<>();
        context.locks().forEach((resource, grant) -> locks.put(resource, grant.getFencingToken()));
        notice.put("locks", locks);
        notice.put("metadata", context.metadata());
        notice.put(
                "time_left",
                context.timeLeft().map(left -> left.toNanos() / 1e9).orElse(1e9));
        return notice;
    }

    /** One call of a handler, which takes orders until it is told to end. */
    static final class Attempt {
        private final TaskContext context;
        private final BlockingQueue<Order> orders = new LinkedBlockingQueue<>();
        private boolean isOver;

        Attempt(TaskContext context) {
            this.context = context;
        }

        /** Has an op done in the handler. */
        CompletableFuture<Object> order(String op, Json args, Operation operation) {
            Order order = new Order(op, args, operation, new CompletableFuture<>());
            synchronized (this) {
                if (isOver) {
                    order.answer().completeExceptionally(new IllegalStateException("the handler has ended"));
                } else {
                    orders.add(order);
                }
            }
            return order.answer();
        }

        Object handle() throws Exception {
            try {
                while (true) {
                    Order order = orders.take();
                    switch (order.op()) {
                        case "return" -> {
                            order.answer().complete(Map.of());
                            return Values.decoded(order.args().get("value"));
                        }
                        case "fail" -> {
                            order.answer().complete(Map.of());
                            throw failure(order.args());
                        }
                        default -> carryOut(order);
                    }
                }
            } finally {
                synchronized (this) {
                    isOver = true;
                }
                orders.forEach(each ->
                        each.answer().completeExceptionally(new IllegalStateException("the handler has ended")));
            }
        }

        private static Exception failure(Json args) {
            String message = args.get("message").asString();
            boolean isForGood =
                    args.get("not_retryable").optional().map(Json::asBoolean).orElse(false);
            return isForGood ? new NotRetryableException(message) : new IllegalStateException(message);
        }

        private void carryOut(Order order) {
            try {
                order.answer().complete(result(order));
            } catch (Exception error) {
                if (error instanceof InterruptedException) {
                    Thread.currentThread().interrupt();
                }
                order.answer().completeExceptionally(error);
            }
        }

        private Object result(Order order) throws Exception {
            Json args = order.args();
            switch (order.op()) {
                case "progress" ->
                    context.progress(
                            args.get("fraction").asDouble(),
                            args.get("message").optional().map(Json::asString).orElse(""));
                case "stage_state" -> context.setState(Operations.changes(args));
                case "block" -> block(RunArguments.duration(args.get("seconds")));
                case "results" -> {
                    Map<String, Object> results = new LinkedHashMap<>();
                    context.previousResults()
                            .taskIds()
                            .forEach(id -> results.put(
                                    id, Values.encoded(context.previousResults().payload(id))));
                    return Map.of("results", results);
                }
                default -> {
                    return order.operation().apply(context.client(), args);
                }
            }
            return Map.of();
        }

        /** Keeps the thread busy, the way a careless handler does. */
        private static void block(Duration duration) {
            long until = System.nanoTime() + duration.toNanos();
            while (System.nanoTime() < until) {
                Thread.onSpinWait();
            }
        }
    }
}
