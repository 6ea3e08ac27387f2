package dev.concert.examples;

import dev.concert.Client;
import dev.concert.Coordinator;
import dev.concert.Json;
import dev.concert.LockScope;
import dev.concert.NewTask;
import dev.concert.RunHandle;
import dev.concert.StateEntry;
import dev.concert.agent.Agent;
import dev.concert.agent.AgentHost;
import dev.concert.agent.PreviousResults;
import dev.concert.agent.TaskContext;
import java.util.Map;
import java.util.stream.Collectors;

/** An agent, and a run of two tasks for it: {@code Basic [HOST:PORT]}, with a coordinator there. */
public final class Basic {
    private Basic() {}

    /** Greets, and leaves in the guest book whom. */
    static String greet(TaskContext context) {
        String name = context.input().get("name").asString();
        context.progress(0.5, "thinking of " + name);
        try (LockScope guestBook = context.lock("guest-book").acquire()) {
            context.publish("signed", Map.of("name", name, "page", guestBook.fencingToken()));
        }
        context.setState(Map.of("guests/" + name, "greeted")); // true together with the completion
        PreviousResults results = context.previousResults();
        String earlier =
                results.taskIds().stream().map(results::get).map(Json::asString).collect(Collectors.joining(", "));
        return "Hello, " + name + "!" + (earlier.isEmpty() ? "" : " (" + earlier + ")");
    }

    /** Starts it. */
    public static void main(String[] arguments) {
        Coordinator coordinator = Coordinator.at(arguments);
        Agent greeter = Agent.named("greeter").on("greeting", Basic::greet);
        try (AgentHost host = AgentHost.start(coordinator, greeter);
                Client client = coordinator.connect()) {
            host.awaitRegistered();
            RunHandle run = client.submitRun(
                    NewTask.of("second")
                            .capability("greeting")
                            .input(Map.of("name", "Grace"))
                            .dependsOn("first"),
                    NewTask.of("first").capability("greeting").input(Map.of("name", "Ada")));
            run.await();
            System.out.println(run.result("first").asString());
            System.out.println(run.result("second").asString());
            System.out.println("guests: "
                    + client.state().list("guests").stream()
                            .map(StateEntry::key)
                            .collect(Collectors.joining(", ")));
        }
    }
}
