package dev.concert.agent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.concert.Client;
import dev.concert.Coordinator;
import dev.concert.CoordinatorProcess;
import dev.concert.Eventually;
import dev.concert.LockScope;
import dev.concert.NewRun;
import dev.concert.NewTask;
import dev.concert.RunHandle;
import dev.concert.errors.NotFoundException;
import dev.concert.errors.UntrustedException;
import dev.concert.v1.Run;
import dev.concert.v1.RunStatus;
import dev.concert.v1.Task;
import dev.concert.v1.TaskStatus;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 120, unit = TimeUnit.SECONDS)
@SuppressWarnings("try") // hosts and locks are closed, not used
class AgentsAgainstCoordinatorTest {
    @TempDir
    static Path directory;

    private static final InMemorySpanExporter SPANS = InMemorySpanExporter.create();
    private static CoordinatorProcess coordinator;
    private static Coordinator at;
    private static Client client;

    @BeforeAll
    static void start() throws Exception {
        GlobalOpenTelemetry.set(OpenTelemetrySdk.builder()
                .setTracerProvider(SdkTracerProvider.builder()
                        .addSpanProcessor(SimpleSpanProcessor.create(SPANS))
                        .build())
                .build());
        coordinator = CoordinatorProcess.start(directory);
        at = Coordinator.at(coordinator.address());
        client = at.connect();
    }

    @AfterAll
    static void stop() {
        client.close();
        coordinator.close();
    }

    private static AgentHost host(Agent... agents) {
        AgentHost host = AgentHost.start(at, agents);
        host.awaitRegistered();
        return host;
    }

    private static Task task(Run run, String taskId) {
        return run.getTasksList().stream()
                .filter(each -> each.getTaskId().equals(taskId))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void anAgentDoesItsTasksInOrderAndHandsResultsOn() {
        Agent greeter = Agent.named("greeter").on("greeting", context -> {
            String name = context.input().get("name").asString();
            context.progress(0.5, "thinking of " + name);
            try (LockScope lock = context.lock("guest-book").acquire()) {
                context.publish("greeted", Map.of("who", name, "token", lock.fencingToken()));
            }
            context.setState(Map.of("guests/" + name, context.runContext().get("greeting")));
            return Map.of(
                    "said",
                    "Hello, " + name,
                    "before",
                    context.previousResults().taskIds());
        });
        try (AgentHost host = host(greeter)) {
            RunHandle run = client.submitRun(NewRun.of(
                            NewTask.of("second")
                                    .capability("greeting")
                                    .input(Map.of("name", "Grace"))
                                    .dependsOn("first"),
                            NewTask.of("first").capability("greeting").input(Map.of("name", "Ada")))
                    .context(Map.of("greeting", "hi")));
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, run.await().getStatus());
            assertEquals(
                    "{\"before\":[\"first\"],\"said\":\"Hello, Grace\"}",
                    run.result("second").toString());
            assertEquals(
                    "hi", client.state().get("guests/Ada").orElseThrow().value().asString());
            assertEquals(1, host.agentIds().size());
        }
    }

    @Test
    void throwablesBecomeFailuresAndCleanupAlwaysRuns() {
        AtomicInteger cleanups = new AtomicInteger();
        class Failing implements Handler {
            @Override
            public Object execute(TaskContext context) throws Exception {
                return switch (context.taskId()) {
                    case "error" -> throw new StackOverflowError("deep");
                    case "never" -> throw new NotRetryableException("not again");
                    case "unsendable" -> new Object();
                    case "large" -> new byte[5 * 1024 * 1024];
                    default -> context.attempt() == 1 ? fail() : "second time";
                };
            }

            private Object fail() {
                throw new IllegalStateException("first time");
            }

            @Override
            public void validatePreconditions(TaskContext context) throws PreconditionFailedException {
                if (context.taskId().equals("unmet")) {
                    throw new PreconditionFailedException("no bucket");
                }
            }

            @Override
            public void cleanup(TaskContext context) {
                cleanups.incrementAndGet();
                throw new IllegalStateException("logged, not reported");
            }
        }
        try (AgentHost host = host(Agent.named("failing").slots(8).on("fail", new Failing()))) {
            NewTask[] tasks = IntStream.range(0, 6)
                    .mapToObj(index -> NewTask.of(List.of("error", "never", "unsendable", "large", "unmet", "retried")
                                    .get(index))
                            .capability("fail")
                            .attempts(index == 5 ? 2 : 1))
                    .toArray(NewTask[]::new);
            Run run = client.submitRun(tasks).await();
            assertEquals("StackOverflowError", task(run, "error").getError().getErrorType());
            assertTrue(task(run, "error").getError().getTraceback().contains("Failing.execute"));
            assertEquals("NotRetryableException", task(run, "never").getError().getErrorType());
            assertEquals("InvalidPayload", task(run, "unsendable").getError().getErrorType());
            assertEquals("InvalidPayload", task(run, "large").getError().getErrorType());
            assertEquals("PRECONDITION_FAILED", task(run, "unmet").getError().getErrorType());
            assertEquals(TaskStatus.TASK_STATUS_SUCCEEDED, task(run, "retried").getStatus());
            assertEquals(7, cleanups.get());
        }
    }

    @Test
    void aCancelInterruptsTheHandler() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch cleaned = new CountDownLatch(1);
        class Hanging implements Handler {
            @Override
            public Object execute(TaskContext context) throws InterruptedException {
                begun.countDown();
                new CountDownLatch(1).await();
                return null;
            }

            @Override
            public void cleanup(TaskContext context) {
                if (context.cancellation().isCancelled()) {
                    cleaned.countDown();
                }
            }
        }
        try (AgentHost host = host(Agent.named("hanging").on("hang", new Hanging()))) {
            RunHandle run = client.submitRun(NewTask.of("a").capability("hang"));
            assertTrue(begun.await(60, TimeUnit.SECONDS));
            run.cancel();
            assertEquals(RunStatus.RUN_STATUS_CANCELLED, run.await().getStatus());
            assertTrue(cleaned.await(60, TimeUnit.SECONDS));
        }
    }

    @Test
    void aBusyHandlerStarvesNoHeartbeat() {
        Duration lease = Duration.ofSeconds(4);
        Agent busy = Agent.named("busy").on("compute", context -> {
            long until = System.nanoTime() + lease.multipliedBy(2).toNanos();
            while (System.nanoTime() < until) {
                Thread.onSpinWait();
            }
            return "done";
        });
        try (AgentHost host = AgentHost.start(at, lease, busy)) {
            host.awaitRegistered();
            Run run = client.submitRun(NewTask.of("a").capability("compute")).await();
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, run.getStatus());
            assertEquals(1, task(run, "a").getAttempts());
        }
    }

    @Test
    void everyAttemptIsExecutedOnceOverAKillOfTheCoordinator(@TempDir Path own) throws Exception {
        Set<Long> executed = ConcurrentHashMap.newKeySet();
        AtomicInteger repeated = new AtomicInteger();
        CountDownLatch some = new CountDownLatch(8);
        CountDownLatch goOn = new CountDownLatch(1);
        Agent agent = Agent.named("steady").slots(8).on("step", context -> {
            if (!executed.add(context.attemptToken())) {
                repeated.incrementAndGet();
            }
            some.countDown();
            goOn.await();
            return context.taskId();
        });
        try (CoordinatorProcess killed = CoordinatorProcess.start(own);
                Client other = killed.connect();
                AgentHost host = AgentHost.start(Coordinator.at(killed.address()), Duration.ofSeconds(60), agent)) {
            host.awaitRegistered();
            NewTask[] tasks = IntStream.range(0, 24)
                    .mapToObj(index -> NewTask.of("t" + index).capability("step"))
                    .toArray(NewTask[]::new);
            RunHandle run = other.submitRun(tasks);
            assertTrue(some.await(60, TimeUnit.SECONDS));
            killed.kill();
            goOn.countDown();
            killed.start();
            Run done = run.await();
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, done.getStatus());
            assertEquals(24, executed.size());
            assertEquals(0, repeated.get());
        }
    }

    @Test
    void aDrainLetsRunningTasksFinish() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        Agent agent = Agent.named("leaving").id("leaving-1").on("finish", context -> {
            begun.countDown();
            goOn.await();
            return "finished";
        });
        try (AgentHost host = host(agent)) {
            RunHandle run = client.submitRun(NewTask.of("a").capability("finish"));
            assertTrue(begun.await(60, TimeUnit.SECONDS));
            client.agents().drain("leaving-1");
            goOn.countDown();
            host.await();
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, run.await().getStatus());
        }
    }

    @Test
    void capabilitiesMayChangeWhileTheAgentIsThere() throws Exception {
        Agent agent = Agent.named("learning").on("old", context -> "old");
        try (AgentHost host = host(agent)) {
            host.update(agent.without("old").on("new", context -> "new").labels(Map.of("version", "2")));
            RunHandle run = client.submitRun(NewTask.of("a").capability("new"));
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, run.await().getStatus());
            assertEquals(
                    "2",
                    client.agents()
                            .get(host.agentIds().get(0))
                            .getSpec()
                            .getLabelsMap()
                            .get("version"));
        }
    }

    @Test
    void aRunningTaskAddsTasksAndLargeResultsComeByReference() {
        String large = "x".repeat(700 * 1024);
        Agent agent = Agent.named("growing").on("grow", context -> {
            if (context.taskId().equals("seed")) {
                context.addTasks(
                        NewTask.of("a").capability("grow"),
                        NewTask.of("b").capability("grow"),
                        NewTask.of("sum").capability("grow").dependsOn("a", "b"));
                return null;
            }
            if (context.taskId().equals("sum")) {
                return context.previousResults().get("a").asString().length()
                        + context.previousResults().get("b").asString().length();
            }
            return large;
        });
        try (AgentHost host = host(agent)) {
            RunHandle run = client.submitRun(NewTask.of("seed").capability("grow"));
            assertEquals(RunStatus.RUN_STATUS_SUCCEEDED, run.await().getStatus());
            assertEquals(2 * 700 * 1024, run.result("sum").asInt());
            assertThrows(NotFoundException.class, () -> run.result("none"));
        }
    }

    @Test
    void theHandlersSpanJoinsTheTraceOfTheRun() throws Exception {
        Agent agent = Agent.named("traced")
                .on("trace", context -> Span.current().getSpanContext().getTraceId());
        Span submitting =
                GlobalOpenTelemetry.getTracer("test").spanBuilder("submit").startSpan();
        RunHandle run;
        try (AgentHost host = host(agent)) {
            try (var current = submitting.makeCurrent()) {
                assertTrue(Span.current().isRecording(), String.valueOf(current));
                run = client.submitRun(NewTask.of("a").capability("trace"));
            }
            run.await();
        }
        submitting.end();
        String traceId = submitting.getSpanContext().getTraceId();
        assertEquals(traceId, run.result("a").asString());
        Eventually.holds(
                "the span is exported",
                () -> SPANS.getFinishedSpanItems().stream()
                        .map(SpanData::getName)
                        .anyMatch("execute trace"::equals));
        SpanData executed = SPANS.getFinishedSpanItems().stream()
                .filter(span -> span.getName().equals("execute trace"))
                .findFirst()
                .orElseThrow();
        assertEquals(traceId, executed.getTraceId());
    }

    @Test
    void anAgentThatNobodyWillTrustIsToldSo() {
        Coordinator wrong = Coordinator.at(coordinator.address()).tls();
        try (AgentHost host = AgentHost.start(wrong, Agent.named("hopeless"))) {
            assertThrows(UntrustedException.class, host::awaitRegistered);
            assertThrows(UntrustedException.class, host::await);
        }
    }
}
