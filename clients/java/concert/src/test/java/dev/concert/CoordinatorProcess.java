package dev.concert;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A real coordinator as a process of its own, that tests may kill: on a port of its choosing, kept over restarts. */
public final class CoordinatorProcess implements AutoCloseable {
    private static final long READY_SECONDS_MAX = 60;
    private static final Pattern ADDRESS = Pattern.compile("\"address\":\\s*\"([^\"]+)\"");

    private final Path directory;
    private String address = "";
    private Process process;

    private CoordinatorProcess(Path directory) {
        this.directory = directory;
    }

    /** One whose data is in {@code directory}. */
    public static CoordinatorProcess start(Path directory) throws IOException, InterruptedException {
        CoordinatorProcess coordinator = new CoordinatorProcess(directory);
        coordinator.start();
        return coordinator;
    }

    public String address() {
        return address;
    }

    public Client connect() {
        return Client.connect(address);
    }

    /** SIGKILL: nothing is flushed, nobody is told. */
    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** Starts it again, on the same data and port. */
    public void start() throws IOException, InterruptedException {
        Path ready = directory.resolve("ready.json");
        Files.deleteIfExists(ready);
        List<String> command = new ArrayList<>(List.of(python(), "-m", "coordinator_service"));
        command.addAll(List.of("--listen", address.isEmpty() ? "127.0.0.1:0" : address));
        command.addAll(List.of("--ready-file", ready.toString()));
        command.addAll(List.of("--data-dir", directory.resolve("data").toString()));
        Path log = directory.resolve("coordinator.log");
        process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                .start();
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_SECONDS_MAX);
        while (System.nanoTime() < until) {
            if (Files.exists(ready)) {
                Matcher found = ADDRESS.matcher(Files.readString(ready));
                if (found.find()) {
                    address = found.group(1);
                    return;
                }
            }
            if (process.waitFor(20, TimeUnit.MILLISECONDS)) {
                break;
            }
        }
        process.destroyForcibly();
        throw new IOException("the coordinator was not ready: " + Files.readString(log, StandardCharsets.UTF_8));
    }

    @Override
    public void close() {
        process.destroyForcibly().onExit().join();
    }

    private static String python() {
        String said = System.getenv("CONCERT_PYTHON");
        Path here = Path.of("../../../.venv/bin/python").toAbsolutePath().normalize();
        return said != null ? said : here.toString();
    }
}
