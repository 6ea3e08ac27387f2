package dev.concert;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.concert.errors.AlreadyExistsException;
import dev.concert.errors.DependencyCycleException;
import dev.concert.errors.InterruptedCallException;
import dev.concert.errors.LockLostException;
import dev.concert.errors.LockTimeoutException;
import dev.concert.errors.NotFoundException;
import dev.concert.errors.SessionOverException;
import dev.concert.errors.StaleFenceException;
import dev.concert.errors.StateConflictException;
import dev.concert.errors.UnavailableException;
import dev.concert.errors.UntrustedException;
import dev.concert.v1.DeleteStateRequest;
import dev.concert.v1.Event;
import dev.concert.v1.EventFilter;
import dev.concert.v1.EventType;
import dev.concert.v1.ListEventsRequest;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 120, unit = TimeUnit.SECONDS)
class AgainstCoordinatorTest {
    @TempDir
    static Path directory;

    private static CoordinatorProcess coordinator;
    private static Client client;

    @BeforeAll
    static void start() throws Exception {
        coordinator = CoordinatorProcess.start(directory);
        client = coordinator.connect();
    }

    @AfterAll
    static void stop() throws Exception {
        client.close();
        coordinator.close();
    }

    @Test
    void whatIsPublishedIsFollowedAndReadAgain() {
        long before = client.publish("begun", null);
        try (Subscription events =
                client.subscribe().customNames("rendered").after(before).open()) {
            long sequence = client.publish("rendered", Map.of("path", "/"));
            Event event = events.iterator().next();
            assertEquals(sequence, event.getSequence());
            assertEquals(
                    "/", Payloads.json(event.getCustom().getData()).get("path").asString());
            assertEquals(event, client.events().get(sequence));
        }
    }

    @Test
    void theSameChangeUnderARequestIdTakesEffectOnce() {
        With id = With.requestId("published-once");
        long first = client.publish("once", 1, id);
        assertEquals(first, client.publish("once", 1, id));
    }

    @Test
    void commandsOfASessionAreAnsweredOnceEachOverAKillOfTheCoordinator(@TempDir Path own) throws Exception {
        try (CoordinatorProcess killed = CoordinatorProcess.start(own);
                Client other = killed.connect();
                Session session = other.session().lease(Duration.ofSeconds(60)).open()) {
            List<CompletableFuture<Long>> answers = new ArrayList<>();
            for (int index = 0; index < 3000; index++) {
                answers.add(session.publishAsync("counted", index));
                if (index == 1500) {
                    killed.kill();
                    killed.start();
                }
            }
            long distinct =
                    answers.stream().map(CompletableFuture::join).distinct().count();
            assertEquals(3000, distinct);
            List<Event> stored = other.events()
                    .list(
                            ListEventsRequest.newBuilder()
                                    .setFilter(EventFilter.newBuilder().addCustomNames("counted"))
                                    .build(),
                            10_000);
            List<Long> numbers = stored.stream()
                    .map(event -> Payloads.json(event.getCustom().getData()).asLong())
                    .toList();
            assertEquals(IntStream.range(0, 3000).mapToObj(Long::valueOf).toList(), numbers);
        }
    }

    @Test
    void aSubscriptionGoesOnWithoutGapOrRepeatOverAKillOfTheCoordinator(@TempDir Path own) throws Exception {
        try (CoordinatorProcess killed = CoordinatorProcess.start(own);
                Client other = killed.connect();
                Subscription events =
                        other.subscribe().customNames("counted").fromEarliest().open()) {
            Iterator<Event> follow = events.iterator();
            List<Long> sent = new ArrayList<>();
            List<Long> seen = new ArrayList<>();
            for (int index = 0; index < 60; index++) {
                sent.add(other.publish("counted", index));
                seen.add(follow.next().getSequence());
                if (index == 30) {
                    killed.kill();
                    killed.start();
                }
            }
            assertEquals(sent, seen);
        }
    }

    @Test
    void aListenerIsToldUntilTheSubscriptionIsClosed() throws Exception {
        CountDownLatch told = new CountDownLatch(3);
        Subscription events = client.subscribe().customNames("heard").listen(event -> told.countDown());
        IntStream.range(0, 3).forEach(index -> client.publish("heard", index));
        assertTrue(told.await(60, TimeUnit.SECONDS));
        events.close();
        events.ended().get(60, TimeUnit.SECONDS);
    }

    @Test
    void aNamedSubscriptionGoesOnWhereTheLastConsumerStopped() {
        try (NamedSubscription invoices = client.subscribe().customNames("paid").openNamed("invoices")) {
            IntStream.range(0, 3).forEach(index -> client.publish("paid", index));
            Iterator<Event> events = invoices.iterator();
            assertEquals(0, number(events.next()));
            assertEquals(1, number(events.next())); // 0 is processed, 1 is not
        }
        try (NamedSubscription invoices = client.subscribe().customNames("paid").openNamed("invoices")) {
            Iterator<Event> events = invoices.iterator();
            assertEquals(1, number(events.next()));
            assertEquals(2, number(events.next()));
        }
    }

    private static long number(Event event) {
        return Payloads.json(event.getCustom().getData()).asLong();
    }

    @Test
    void noUpdateIsLostWhenManyModifyTheSameKey() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            List<Future<?>> writers = new ArrayList<>();
            for (int writer = 0; writer < 4; writer++) {
                writers.add(threads.submit(() -> {
                    for (int index = 0; index < 5; index++) {
                        client.state().modify("tally", held -> Json.of(held.isNull() ? 1 : held.asLong() + 1));
                    }
                }));
            }
            for (Future<?> each : writers) {
                each.get(100, TimeUnit.SECONDS);
            }
        } finally {
            threads.shutdownNow();
        }
        assertEquals(20, client.state().get("tally").orElseThrow().value().asLong());
    }

    @Test
    void aLostConflictHandsOverWhatIsNeededToTryAgain() {
        long base = client.state().update(Map.of("page/title", "first"));
        try (Client other = coordinator.connect()) {
            other.state()
                    .update(StateChanges.replace(Map.of("page/title", "theirs")).base(base));
        }
        StateConflictException lost = assertThrows(
                StateConflictException.class,
                () -> client.state()
                        .update(StateChanges.replace(Map.of("page/title", "ours"))
                                .base(base)));
        assertEquals("page/title", lost.keys().get(0).getKey());
        assertEquals("theirs", Json.of(lost.keys().get(0).getCurrent()).asString());
        long ours = client.state()
                .update(StateChanges.replace(Map.of("page/title", "ours")).base(lost.currentRevision()));
        assertEquals(3, client.state().history("page/title").size());
        client.state()
                .delete(DeleteStateRequest.newBuilder().addKeys("page/title").setBaseRevision(ours));
        assertTrue(client.state().get("page/title").isEmpty());
        assertThrows(NotFoundException.class, () -> client.state().delete("page/title"));
    }

    @Test
    void aWatchTellsWhatIsThereAndThenEachChange() {
        client.state().update(Map.of("watched/a", 1));
        try (StateWatch watch = client.state().watchUnder("watched")) {
            Iterator<KeyChange> changes = watch.iterator();
            assertEquals(KeyChange.Kind.THERE, changes.next().kind());
            client.state().update(StateChanges.replace(Map.of("watched/b", 2)));
            KeyChange set = changes.next();
            assertEquals("watched/b", set.key());
            assertEquals(2, set.value().asLong());
            client.state().deleteUnder("watched");
            assertEquals(KeyChange.Kind.CLEARED, changes.next().kind());
        }
    }

    @Test
    void aLockKeepsOthersOutAndFencesWhatReliesOnIt() {
        LockScope lock = client.lock("door").acquire();
        LockTimeoutException late = assertThrows(
                LockTimeoutException.class,
                () -> client.lock("door").waitFor(Duration.ZERO).acquire());
        assertEquals(lock.holder(), late.holders().get(0).getHolder());
        client.publish("opened", null, lock);
        lock.close();
        assertThrows(StaleFenceException.class, () -> client.publish("opened", null, lock));
        try (LockScope again = client.lock("door", "window").acquire()) {
            assertTrue(again.fencingTokens().get("door") > lock.fencingToken());
        }
        assertThrows(NotFoundException.class, () -> client.locks().get("door"));
    }

    @Test
    void aLostLeaseInterruptsTheScope(@TempDir Path own) throws Exception {
        try (CoordinatorProcess killed = CoordinatorProcess.start(own);
                Client other = killed.connect()) {
            LockLostException lost = assertThrows(
                    LockLostException.class,
                    () -> other.lock("door").lease(Duration.ofSeconds(4)).call(lock -> {
                        killed.kill();
                        Thread.sleep(100_000);
                        return null;
                    }));
            assertInstanceOf(InterruptedException.class, lost.getSuppressed()[0]);
            assertFalse(Thread.currentThread().isInterrupted(), "the interrupt was for the scope alone");
        }
    }

    @Test
    void aCallInAScopeWhoseSessionIsOverThrowsLockLost(@TempDir Path own) throws Exception {
        try (CoordinatorProcess killed = CoordinatorProcess.start(own);
                Client other = killed.connect()) {
            Session session = other.session().lease(Duration.ofSeconds(5)).open();
            try (LockScope lock = session.lock("door").acquire()) {
                assertFalse(lock.isLost());
                killed.kill();
                other.run("none").get();
            } catch (LockLostException lost) {
                assertTrue(session.over().isPresent());
            }
            assertFalse(Thread.currentThread().isInterrupted());
            assertThrows(SessionOverException.class, () -> session.publish("late", null));
        }
    }

    @Test
    void twoScopesOfOneSessionTakeTurns() throws Exception {
        try (Session session = client.session().open()) {
            LockScope first = session.lock("turn").acquire();
            LockBuilder again = session.lock("turn").waitFor(Duration.ofMillis(50));
            CompletableFuture<Object> second =
                    CompletableFuture.supplyAsync(again::acquire).handle((scope, error) -> error.getCause());
            assertInstanceOf(LockTimeoutException.class, second.get(60, TimeUnit.SECONDS));
            try (LockScope reentered = session.lock("turn").acquire()) {
                assertEquals(first.fencingToken(), reentered.fencingToken());
            }
            CompletableFuture<LockScope> third =
                    CompletableFuture.supplyAsync(() -> session.lock("turn").acquire());
            first.close();
            LockScope next = third.get(60, TimeUnit.SECONDS);
            assertTrue(next.fencingToken() > first.fencingToken());
            next.close();
        }
    }

    @Test
    void anInterruptEndsTheWaitForALock() throws Exception {
        try (LockScope held = client.lock("busy").acquire()) {
            CompletableFuture<Throwable> thrown = new CompletableFuture<>();
            Thread waiter = new Thread(() -> {
                try {
                    client.lock("busy").acquire();
                } catch (RuntimeException error) {
                    thrown.complete(error);
                }
            });
            waiter.start();
            Eventually.holds("it waits", () -> client.locks().get("busy").getWaitersCount() == 1);
            waiter.interrupt();
            assertInstanceOf(InterruptedCallException.class, thrown.get(60, TimeUnit.SECONDS));
            Eventually.holds(
                    "it waits no more", () -> client.locks().get("busy").getWaitersCount() == 0);
            assertFalse(held.isLost());
        }
    }

    @Test
    void refusalsAreTypedWithTheirDetails() {
        DependencyCycleException cycle = assertThrows(
                DependencyCycleException.class,
                () -> client.submitRun(
                        NewTask.of("a").capability("x").dependsOn("b"),
                        NewTask.of("b").capability("x").dependsOn("a")));
        assertEquals(2, cycle.cycle().size());
        assertEquals("INVALID_ARGUMENT", cycle.code());
        NotFoundException none =
                assertThrows(NotFoundException.class, () -> client.run("none").get());
        assertEquals("run/none", none.resource());
        try (Session first = client.session().agentId("only-one").open()) {
            assertThrows(
                    AlreadyExistsException.class,
                    () -> client.session().agentId("only-one").open());
            try (Session second =
                    client.session().agentId("only-one").takeover().open()) {
                assertEquals("only-one", second.agentId());
                first.ended().join();
            }
        }
    }

    @Test
    void theNextAddressIsUsedWhenOneDoesNotAnswer() {
        try (Client other = Client.connect("127.0.0.1:1", coordinator.address());
                Session session = other.session().open()) {
            assertTrue(other.publish("routed", null) > 0);
            assertTrue(session.publish("routed", null) > 0);
            try (Subscription events = other.subscribe().customNames("routed").open()) {
                long sequence = session.publish("routed", null);
                assertEquals(sequence, events.iterator().next().getSequence());
            }
        }
    }

    @Test
    void aWrongAddressIsAnErrorThatNamesTheCure() {
        Coordinator nowhere = Coordinator.at("127.0.0.1:1").retryFor(Duration.ofMillis(200));
        try (Client other = nowhere.connect()) {
            UnavailableException error = assertThrows(UnavailableException.class, () -> other.publish("x", null));
            assertTrue(error.getMessage().contains("127.0.0.1:1: check the address"), error.getMessage());
            assertThrows(UnavailableException.class, () -> other.session().open());
            assertThrows(UnavailableException.class, () -> other.subscribe().open());
        }
    }

    @Test
    void tlsWhereThereIsNoneIsAnErrorAtOnce() {
        try (Client other = Coordinator.at(coordinator.address()).tls().connect()) {
            UntrustedException error = assertThrows(UntrustedException.class, () -> other.publish("x", null));
            assertTrue(error.getMessage().contains("does not speak TLS"), error.getMessage());
        }
    }

    @Test
    void theCoordinatorTellsOfItself() {
        assertEquals(1, client.serverInfo().getFeatureLevel());
        assertTrue(client.serverInfo().getLimitsMap().containsKey("payload_bytes_max"));
        long sequence = client.publish("explained", null);
        assertFalse(client.monitor().explain(sequence).getSummary().isEmpty());
        assertTrue(client.monitor().namespaces().stream()
                .anyMatch(each -> each.getNamespace().equals("default")));
        Subscription events =
                client.subscribe().types(EventType.EVENT_TYPE_CUSTOM).open();
        events.close();
        assertFalse(events.iterator().hasNext());
    }
}
