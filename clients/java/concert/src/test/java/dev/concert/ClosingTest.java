package dev.concert;

import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.concert.errors.CancelledException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/** Whoever waits for something is told when it will never come. */
class ClosingTest {
    @Test
    void aCallInAPauseOfItsBackOffEndsWithTheClient() throws Exception {
        endsWithItsClient("127.0.0.1:1");
    }

    @Test
    void aCallUnderWayEndsWithTheClient() throws Exception {
        try (ServerSocket silent = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            endsWithItsClient("127.0.0.1:" + silent.getLocalPort());
        }
    }

    private static void endsWithItsClient(String address) throws Exception {
        Client client = Client.connect(address);
        CompletableFuture<Long> answer = CompletableFuture.supplyAsync(() -> client.publish("x", "y"));
        Thread.sleep(1500); // under way, however long it takes to load what a first call needs
        client.close();
        ExecutionException failed = assertThrows(ExecutionException.class, () -> answer.get(5, TimeUnit.SECONDS));
        assertInstanceOf(CancelledException.class, failed.getCause());
    }

    @Test
    void anActionThatFailsKeepsNoOtherFromBeingDone() {
        AtomicBoolean isDone = new AtomicBoolean();
        CancellationSignal signal = new CancellationSignal();
        signal.onCancel(() -> {
            throw new IllegalStateException("the socket was closed already");
        });
        signal.onCancel(() -> isDone.set(true));
        signal.cancel("lost");
        assertTrue(isDone.get());
    }
}
