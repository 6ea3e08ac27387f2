package dev.concert.benchmark;

import dev.concert.Client;
import dev.concert.Coordinator;
import dev.concert.Events;
import dev.concert.Json;
import dev.concert.NewTask;
import dev.concert.Payloads;
import dev.concert.RunHandle;
import dev.concert.Session;
import dev.concert.Subscription;
import dev.concert.agent.Agent;
import dev.concert.agent.AgentHost;
import dev.concert.v1.ClientMessage;
import dev.concert.v1.Command;
import dev.concert.v1.ConnectRequest;
import dev.concert.v1.ConnectResponse;
import dev.concert.v1.CustomEvent;
import dev.concert.v1.Event;
import dev.concert.v1.EventDraft;
import dev.concert.v1.Payload;
import dev.concert.v1.PublishRequest;
import dev.concert.v1.SessionServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * One load on one server: {@code Load KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS}; prints what was measured as JSON.
 *
 * <p>{@code bare} is grpc-java without this client: frames of publishing commands, 32 without an answer, to a server that
 * answers each. The others ask a coordinator through the client: {@code commands} (the same commands over a session), {@code
 * locks} (pairs of acquire and release), {@code tasks} (round trips through an agent, and of a chain of them), {@code
 * subscribe} (events published by one session and followed by a subscription).
 */
public final class Load {
    private static final int IN_FLIGHT = 32;
    private static final int BATCH = 100;
    private static final int CHAIN = 100;
    private static final Payload DATA = Payloads.of(new byte[64]);

    private final String address;
    private final String namespace;
    private final double warmUpSeconds;
    private final double seconds;
    private final AtomicBoolean isBroken = new AtomicBoolean();

    private Load(String... arguments) {
        address = arguments[1];
        namespace = arguments[2];
        warmUpSeconds = Double.parseDouble(arguments[3]);
        seconds = Double.parseDouble(arguments[4]);
    }

    /** Puts it on. */
    public static void main(String[] arguments) throws Exception {
        Load load = new Load(arguments);
        Map<String, Object> measured =
                switch (arguments[0]) {
                    case "bare" -> load.bare();
                    case "commands" -> load.commands();
                    case "locks" -> load.locks();
                    case "tasks" -> load.tasks();
                    case "subscribe" -> load.subscribe();
                    default -> throw new IllegalArgumentException("there is no load " + arguments[0]);
                };
        System.out.println(Json.of(measured));
        System.exit(0);
    }

    private double measure(Rate rate) throws InterruptedException {
        return rate.measure(warmUpSeconds, seconds, isBroken::get);
    }

    private Session open(Client client) {
        return client.session().open();
    }

    private Client connect() {
        return Coordinator.at(address).namespace(namespace).connect();
    }

    // ---- without the client

    private Map<String, Object> bare() throws InterruptedException {
        ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
                .directExecutor()
                .build();
        Rate rate = new Rate();
        Bare bare = new Bare(rate);
        StreamObserver<ConnectRequest> requests =
                SessionServiceGrpc.newStub(channel).connect(bare);
        bare.begin(requests);
        double answers = measure(rate);
        channel.shutdownNow();
        return Map.of("rate", answers);
    }

    /** k answers lead to a frame of k new commands. */
    private final class Bare implements StreamObserver<ConnectResponse> {
        private final Rate rate;
        private StreamObserver<ConnectRequest> requests;
        private long correlationId;

        Bare(Rate rate) {
            this.rate = rate;
        }

        synchronized void begin(StreamObserver<ConnectRequest> opened) {
            requests = opened;
            requests.onNext(frame(IN_FLIGHT));
        }

        @Override
        public synchronized void onNext(ConnectResponse response) {
            rate.add(response.getMessagesCount());
            if (!rate.isOver()) {
                requests.onNext(frame(response.getMessagesCount()));
            }
        }

        @Override
        public void onError(Throwable error) {
            isBroken.set(!rate.isOver());
        }

        @Override
        public void onCompleted() {
            isBroken.set(!rate.isOver());
        }

        private ConnectRequest frame(int commands) {
            ConnectRequest.Builder frame = ConnectRequest.newBuilder();
            for (int index = 0; index < commands; index++) {
                PublishRequest publish = PublishRequest.newBuilder()
                        .setRequestId(namespace + "-" + ++correlationId)
                        .addEvents(EventDraft.newBuilder()
                                .setCustom(CustomEvent.newBuilder()
                                        .setName("counted")
                                        .setData(DATA)))
                        .build();
                frame.addMessages(ClientMessage.newBuilder()
                        .setCommand(Command.newBuilder()
                                .setCorrelationId(correlationId)
                                .setPublish(publish)));
            }
            return frame.build();
        }
    }

    // ---- through the client

    private Map<String, Object> commands() throws InterruptedException {
        try (Client client = connect();
                Session session = open(client)) {
            Rate rate = new Rate();
            for (int index = 0; index < IN_FLIGHT; index++) {
                again(rate, () -> session.publishAsync("counted", DATA));
            }
            double commands = measure(rate);
            return Map.of("rate", commands, "p50_seconds", rate.quantile(0.5), "p99_seconds", rate.quantile(0.99));
        }
    }

    private Map<String, Object> locks() throws InterruptedException {
        try (Client client = connect();
                Session session = open(client)) {
            Rate rate = new Rate();
            for (int index = 0; index < IN_FLIGHT; index++) {
                String resource = "lock-" + index;
                again(
                        rate,
                        () -> session.lock(resource)
                                .acquireOnlyAsync()
                                .thenCompose(grants -> session.locks()
                                        .releaseAsync(grants.get(0).getFencingToken())));
            }
            return Map.of("rate", measure(rate));
        }
    }

    /** Something to be begun. */
    @FunctionalInterface
    private interface Beginning {
        CompletableFuture<?> begin();
    }

    /** Does it, and again when it is done. */
    private void again(Rate rate, Beginning beginning) {
        long begun = System.nanoTime();
        beginning.begin().whenComplete((done, error) -> {
            if (rate.isOver()) {
                return;
            }
            if (error != null) {
                isBroken.set(true);
                return;
            }
            rate.add((System.nanoTime() - begun) / 1e9);
            again(rate, beginning);
        });
    }

    private Map<String, Object> tasks() throws Exception {
        Rate rate = new Rate();
        Agent agent = Agent.named("bench").slots(IN_FLIGHT).on("step", context -> {
            rate.add(1);
            return null;
        });
        Coordinator at = Coordinator.at(address).namespace(namespace);
        try (AgentHost host = AgentHost.start(at, agent);
                Client client = at.connect()) {
            host.awaitRegistered();
            Thread submitter = new Thread(() -> {
                while (!rate.isOver()) {
                    client.submitRun(many(500)).await();
                }
            });
            submitter.start();
            double tasks = measure(rate);
            submitter.join();
            long begun = System.nanoTime();
            RunHandle chain = client.submitRun(chain());
            chain.await();
            double latency = (System.nanoTime() - begun) / 1e9 / CHAIN;
            return Map.of("rate", tasks, "round_trip_seconds", latency);
        }
    }

    private static NewTask[] many(int count) {
        List<NewTask> tasks = new ArrayList<>();
        for (int index = 0; index < count; index++) {
            tasks.add(NewTask.of("t" + index).capability("step"));
        }
        return tasks.toArray(NewTask[]::new);
    }

    private static NewTask[] chain() {
        List<NewTask> tasks = new ArrayList<>();
        for (int index = 0; index < CHAIN; index++) {
            NewTask task = NewTask.of("t" + index).capability("step");
            tasks.add(index == 0 ? task : task.dependsOn("t" + (index - 1)));
        }
        return tasks.toArray(NewTask[]::new);
    }

    private Map<String, Object> subscribe() throws InterruptedException {
        try (Client client = connect();
                Session session = open(client)) {
            Rate published = new Rate();
            Rate followed = new Rate();
            Semaphore ahead = new Semaphore(IN_FLIGHT);
            try (Subscription events =
                    client.subscribe().customNames("counted").listen((Event event) -> followed.add(1))) {
                Thread publisher = new Thread(() -> {
                    List<EventDraft> drafts = new ArrayList<>();
                    for (int index = 0; index < BATCH; index++) {
                        drafts.add(Events.draft("counted", null).build());
                    }
                    while (!followed.isOver()) {
                        ahead.acquireUninterruptibly();
                        session.events().publishAsync(drafts).whenComplete((sequences, error) -> {
                            published.add(BATCH);
                            ahead.release();
                        });
                    }
                    ahead.acquireUninterruptibly(IN_FLIGHT);
                });
                publisher.start();
                Map<String, Object> measured = new LinkedHashMap<>();
                measured.put("rate", measure(followed));
                publisher.join();
                measured.put("cursor", events.cursor().getSequence());
                return measured;
            }
        }
    }
}
