package dev.concert.examples;

import dev.concert.Coordinator;
import dev.concert.LockScope;
import dev.concert.agent.Agent;
import dev.concert.agent.AgentHost;
import dev.concert.agent.TaskContext;
import java.util.Map;

/** The agent that the README shows. */
public final class Greeter {
    private Greeter() {}

    /** Starts it. */
    public static void main(String[] arguments) throws InterruptedException {
        AgentHost.run(Coordinator.at(arguments), Agent.named("greeter").on("greeting", Greeter::greet));
    }

    static String greet(TaskContext context) {
        String name = context.input().get("name").asString();
        context.progress(0.5, "thinking of " + name);
        try (LockScope guestBook = context.lock("guest-book").acquire()) {
            context.publish("signed", Map.of("name", name, "page", guestBook.fencingToken()));
        }
        context.setState(Map.of("guests/" + name, "greeted")); // true together with the completion
        return "Hello, " + name + "! Before you: " + context.previousResults().taskIds();
    }
}
