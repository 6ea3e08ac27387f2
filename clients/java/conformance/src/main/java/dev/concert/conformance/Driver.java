package dev.concert.conformance;

import com.google.protobuf.Value;
import com.google.protobuf.util.JsonFormat;
import dev.concert.Json;
import dev.concert.agent.AgentHost;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The conformance driver of the Java client: does what the runner says (clients/conformance/README.md). */
public final class Driver {
    private final Map<String, Object> things = new ConcurrentHashMap<>();
    private final PrintStream out =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final Operations operations = new Operations(things, this::say, threads);

    private Driver() {}

    /** Serves until its input ends. */
    public static void main(String[] arguments) throws IOException {
        GlobalOpenTelemetry.set(OpenTelemetrySdk.builder()
                .setTracerProvider(SdkTracerProvider.builder()
                        .addSpanProcessor(SimpleSpanProcessor.create(SpanExporter.composite())) // exports nothing
                        .build())
                .build());
        Driver driver = new Driver();
        Runtime.getRuntime().addShutdownHook(new Thread(driver::drain, "drain"));
        driver.serve();
    }

    private void serve() throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String line;
        while ((line = in.readLine()) != null) {
            Value.Builder request = Value.newBuilder();
            JsonFormat.parser().merge(line, request);
            Json said = Json.of(request.build());
            threads.execute(() -> answer(said));
        }
        closeAll();
        Runtime.getRuntime().halt(0);
    }

    private void answer(Json request) {
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("id", request.get("id"));
        try {
            Object result = perform(request);
            if (result == null) {
                message.put("error", Map.of("code", "UNKNOWN_OP"));
            } else {
                message.put("result", result);
            }
        } catch (ExecutionException failed) {
            message.put("error", Values.errorOf(failed.getCause()));
        } catch (Exception error) {
            message.put("error", Values.errorOf(error));
        }
        say(message);
    }

    private Object perform(Json request) throws Exception {
        String op = request.get("op").asString();
        String on = request.get("on").optional().map(Json::asString).orElse("");
        Json args = request.get("args");
        Object thing = on.isEmpty() ? null : things.get(on);
        if (!on.isEmpty() && thing == null && !op.equals("close")) {
            throw new IllegalStateException("there is nothing of the name " + on);
        }
        if (thing instanceof RemoteAgent.Attempt attempt) {
            return attempt.order(op, args, (caller, said) -> operations.call(op, caller, said))
                    .get();
        }
        return operations.apply(op, on, thing, args);
    }

    private synchronized void say(Map<String, Object> message) {
        out.println(Json.of(message));
    }

    /** On SIGTERM: running tasks finish, then the process ends well. */
    private void drain() {
        List<AgentHost> hosts = things.values().stream()
                .filter(RemoteAgent.class::isInstance)
                .map(each -> ((RemoteAgent) each).host())
                .toList();
        hosts.forEach(AgentHost::drain);
        for (AgentHost host : hosts) {
            try {
                host.await();
            } catch (Exception error) {
                System.err.println(error);
            }
        }
        closeAll();
        Runtime.getRuntime().halt(0);
    }

    private void closeAll() {
        for (String name : new ArrayList<>(things.keySet())) {
            try {
                operations.close(name);
            } catch (Exception error) {
                System.err.println(name + ": " + error);
            }
        }
    }
}
