package dev.concert.conformance;

import dev.concert.Client;
import dev.concert.Coordinator;
import dev.concert.Events;
import dev.concert.Json;
import dev.concert.LockBuilder;
import dev.concert.NamedSubscription;
import dev.concert.Session;
import dev.concert.SessionBuilder;
import dev.concert.StateChanges;
import dev.concert.StateEntry;
import dev.concert.Subscription;
import dev.concert.SubscriptionBuilder;
import dev.concert.Surface;
import dev.concert.TokenSource;
import dev.concert.With;
import dev.concert.agent.AgentHost;
import dev.concert.errors.ConcertException;
import dev.concert.v1.Cursor;
import dev.concert.v1.DeleteStateRequest;
import dev.concert.v1.Event;
import dev.concert.v1.EventDraft;
import dev.concert.v1.EventFilter;
import dev.concert.v1.EventType;
import dev.concert.v1.GetServerInfoResponse;
import dev.concert.v1.ListEventsRequest;
import dev.concert.v1.LockGrant;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Scope;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/** What the runner may ask for. */
final class Operations {
    private final Map<String, Object> things;
    private final Consumer<Map<String, Object>> say;
    private final Executor threads;

    Operations(Map<String, Object> things, Consumer<Map<String, Object>> say, Executor threads) {
        this.things = things;
        this.say = say;
        this.threads = threads;
    }

    /** A subscription that is read on demand. */
    private static final class Followed {
        private final AutoCloseable subscription;
        private final Iterator<Event> events;
        private final Map<Long, Event> seen = new HashMap<>();

        Followed(AutoCloseable subscription, Iterator<Event> events) {
            this.subscription = subscription;
            this.events = events;
        }
    }

    /** Does it; the result, or null for an op that there is not. */
    Object apply(String op, String on, Object thing, Json args) throws Exception {
        return switch (op) {
            case "connect" -> connect(args);
            case "open_session" -> openSession((Client) thing, args);
            case "host_agent" -> hostAgent(args);
            case "update_agent" -> updateAgent((RemoteAgent) thing, args);
            case "drain" -> drain((RemoteAgent) thing);
            case "close" -> {
                close(on);
                yield Map.of();
            }
            case "next" -> next((Followed) thing, args);
            case "ack" -> ack((Followed) thing, args);
            case "release" -> {
                ((LockThing) thing).release();
                yield Map.of();
            }
            default -> thing instanceof Surface caller ? call(op, caller, args) : null;
        };
    }

    /** What any caller can be asked for: a client, a session, an attempt; inside a span of the application if one is named. */
    @SuppressWarnings("try") // the scope is closed, not used
    Object call(String op, Surface caller, Json args) throws Exception {
        if (args.get("span").isNull()) {
            return callHere(op, caller, args);
        }
        Span span = GlobalOpenTelemetry.getTracer("concert.conformance")
                .spanBuilder(text(args, "span"))
                .startSpan();
        try (Scope current = span.makeCurrent()) {
            return callHere(op, caller, args);
        } finally {
            span.end();
        }
    }

    private Object callHere(String op, Surface caller, Json args) throws Exception {
        return switch (op) {
            case "publish" -> publish(caller, args);
            case "list_events" -> listEvents(caller, args);
            case "subscribe" -> subscribe(caller, args);
            case "acknowledge" -> acknowledge(caller, args);
            case "submit_run" ->
                Map.of(
                        "run_id",
                        caller.submitRun(RunArguments.run(args.get("run")), with(args))
                                .id());
            case "wait_run" -> Values.runOf(caller.run(text(args, "run_id")).await());
            case "get_run" -> Values.runOf(caller.run(text(args, "run_id")).get());
            case "cancel_run" ->
                Map.of("sequence", caller.run(text(args, "run_id")).cancel());
            case "add_tasks" -> addTasks(caller, args);
            case "retry_run" ->
                Map.of("generation", caller.run(text(args, "run_id")).retry());
            case "task_result" ->
                Map.of("value", Values.encoded(caller.run(text(args, "run_id")).resultPayload(text(args, "task_id"))));
            case "acquire" -> acquire(caller, args);
            case "update_state" ->
                Map.of("revision", caller.state().update(changes(args), number(args, "priority"), with(args)));
            case "delete_state" -> deleteState(caller, args);
            case "get_state" -> getState(caller, args);
            case "modify_state" -> modifyState(caller, args);
            case "server_info" -> serverInfo(caller);
            default -> null;
        };
    }

    // ---- things

    private Object connect(Json args) {
        things.put(text(args, "as"), place(args).connect());
        return Map.of();
    }

    private static Coordinator place(Json args) {
        Json address = args.get("address");
        String[] addresses = address.size() > 0
                ? address.asList().stream().map(Json::asString).toArray(String[]::new)
                : new String[] {address.asString()};
        Coordinator place =
                Coordinator.at(addresses).namespace(text(args, "namespace")).writer(text(args, "writer"));
        if (!args.get("call_seconds").isNull()) {
            place = place.callFor(RunArguments.duration(args.get("call_seconds")));
        }
        if (!args.get("retry_seconds").isNull()) {
            place = place.retryFor(RunArguments.duration(args.get("retry_seconds")));
        }
        if (!args.get("root_certificate").isNull()) {
            place = place.tls(path(args, "root_certificate"), path(args, "certificate"), path(args, "private_key"));
        }
        if (!args.get("token").isNull()) {
            place = place.token(TokenSource.of(text(args, "token")));
        }
        if (!args.get("token_file").isNull()) {
            place = place.token(TokenSource.file(path(args, "token_file")));
        }
        if (!args.get("token_function").isNull()) {
            Path file = path(args, "token_function");
            place = place.token(() -> Files.readString(file).strip());
        }
        return place;
    }

    private static Path path(Json args, String name) {
        return args.get(name).optional().map(Json::asString).map(Path::of).orElse(null);
    }

    private Object openSession(Client client, Json args) {
        String name = text(args, "as");
        SessionBuilder builder =
                client.session().agentId(text(args, "agent_id")).agentName(text(args, "agent_name"));
        args.get("lease").optional().ifPresent(lease -> builder.lease(RunArguments.duration(lease)));
        if (flag(args, "takeover")) {
            builder.takeover();
        }
        Session session = builder.open();
        things.put(name, session);
        session.ended().thenAccept(why -> lost(name, why));
        return Map.of(
                "session_id", session.sessionId(),
                "agent_id", session.agentId(),
                "lease", session.lease().toNanos() / 1e9);
    }

    private void lost(String name, ConcertException why) {
        say.accept(Map.of("notice", "lost", "on", name, "error", Values.errorOf(why)));
    }

    private Object hostAgent(Json args) {
        String name = text(args, "as");
        RemoteAgent agent = new RemoteAgent(name, args, say, things);
        Duration lease =
                args.get("lease").optional().map(RunArguments::duration).orElse(Duration.ofSeconds(15));
        AgentHost host = AgentHost.start(place(args), lease, agent.agent());
        agent.hostedBy(host);
        try {
            host.awaitRegistered();
        } catch (RuntimeException never) {
            host.close();
            throw never;
        }
        things.put(name, agent);
        threads.execute(() -> left(name, host));
        return Map.of("agent_id", host.agentIds().get(0));
    }

    private void left(String name, AgentHost host) {
        Map<String, Object> notice = new LinkedHashMap<>(Map.of("notice", "left", "on", name));
        try {
            host.await();
        } catch (ConcertException | InterruptedException error) {
            notice.put("error", Values.errorOf(error));
        }
        say.accept(notice);
    }

    private static Object updateAgent(RemoteAgent agent, Json args) {
        agent.host().update(agent.describe(args));
        return Map.of();
    }

    private static Object drain(RemoteAgent agent) throws InterruptedException {
        agent.host().drain();
        agent.host().await();
        return Map.of();
    }

    /** Ends a thing, whatever it is. */
    void close(String name) throws Exception {
        Object thing = things.remove(name);
        if (thing instanceof RemoteAgent agent) {
            agent.host().close();
        } else if (thing instanceof LockThing lock) {
            try {
                lock.release();
            } catch (ConcertException lost) {
                // it was told already
            }
        } else if (thing instanceof Followed followed) {
            followed.subscription.close();
        } else if (thing instanceof AutoCloseable closeable) {
            closeable.close();
        }
    }

    // ---- events

    private static Object publish(Surface caller, Json args) {
        return Map.of("sequences", caller.publish(drafts(args), with(args)));
    }

    private static List<EventDraft> drafts(Json args) {
        List<EventDraft> drafts = new ArrayList<>();
        for (Json event : args.get("events").asList()) {
            EventDraft.Builder draft = Events.draft(text(event, "name"), Values.decoded(event.get("data")));
            draft.setEventId(text(event, "event_id"));
            event.get("metadata").optional().ifPresent(each -> draft.putAllMetadata(RunArguments.strings(each)));
            drafts.add(draft.build());
        }
        return drafts;
    }

    private static Object listEvents(Surface caller, Json args) {
        ListEventsRequest request = ListEventsRequest.newBuilder()
                .setFilter(filter(args.get("filter")))
                .setAfterSequence(number(args, "after"))
                .build();
        int limit = args.get("limit").isNull() ? 1000 : number(args, "limit");
        return Map.of(
                "events",
                caller.events().list(request, limit).stream()
                        .map(event -> Values.eventOf(event, flag(args, "raw")))
                        .toList());
    }

    private static EventFilter filter(Json said) {
        EventFilter.Builder filter = EventFilter.newBuilder();
        strings(said, "types").forEach(each -> filter.addTypes(EventType.valueOf("EVENT_TYPE_" + each)));
        return filter.addAllCustomNames(strings(said, "custom_names"))
                .addAllRunIds(strings(said, "run_ids"))
                .addAllTaskIds(strings(said, "task_ids"))
                .addAllAgentIds(strings(said, "agent_ids"))
                .addAllAgentNames(strings(said, "agent_names"))
                .build();
    }

    private Object subscribe(Surface caller, Json args) {
        SubscriptionBuilder builder = caller.subscribe();
        EventFilter filter = filter(args.get("filter"));
        builder.types(filter.getTypesList().toArray(EventType[]::new))
                .customNames(filter.getCustomNamesList().toArray(String[]::new))
                .runIds(filter.getRunIdsList().toArray(String[]::new))
                .taskIds(filter.getTaskIdsList().toArray(String[]::new))
                .agentIds(filter.getAgentIdsList().toArray(String[]::new))
                .agentNames(filter.getAgentNamesList().toArray(String[]::new));
        if (text(args, "start").equals("earliest")) {
            builder.fromEarliest();
        }
        args.get("after").optional().ifPresent(after -> builder.after(after.asLong()));
        args.get("cursor").optional().ifPresent(cursor -> builder.after(cursor(cursor)));
        args.get("since")
                .optional()
                .ifPresent(since ->
                        builder.since(OffsetDateTime.parse(since.asString()).toInstant()));
        Followed followed;
        if (args.get("name").isNull()) {
            Subscription opened = builder.open();
            followed = new Followed(opened, opened.iterator());
        } else {
            NamedSubscription opened = builder.openNamed(text(args, "name"));
            if (!args.get("acknowledge").optional().map(Json::asBoolean).orElse(true)) {
                opened.manually();
            }
            followed = new Followed(opened, opened.iterator());
        }
        things.put(text(args, "as"), followed);
        return Map.of();
    }

    private static Cursor cursor(Json said) {
        return Cursor.newBuilder()
                .setLogId(text(said, "log_id"))
                .setSequence(said.get("sequence").asLong())
                .build();
    }

    private static Object next(Followed followed, Json args) {
        List<Object> events = new ArrayList<>();
        for (int index = 0; index < number(args, "count"); index++) {
            Event event = followed.events.next();
            followed.seen.put(event.getSequence(), event);
            events.add(Values.eventOf(event, flag(args, "raw")));
        }
        return Map.of("events", events);
    }

    private static Object ack(Followed followed, Json args) {
        ((NamedSubscription) followed.subscription)
                .acknowledge(followed.seen.get(args.get("sequence").asLong()));
        return Map.of();
    }

    private static Object acknowledge(Surface caller, Json args) {
        Cursor cursor = cursor(args.get("cursor"));
        dev.concert.v1.NamedSubscription moved = flag(args, "reset")
                ? caller.subscriptions().reset(text(args, "name"), cursor)
                : caller.subscriptions().acknowledge(text(args, "name"), cursor);
        return Map.of("sequence", moved.getCursor().getSequence());
    }

    // ---- runs and locks

    private static Object addTasks(Surface caller, Json args) {
        dev.concert.NewTask[] tasks = RunArguments.list(args.get("tasks")).stream()
                .map(RunArguments::task)
                .toArray(dev.concert.NewTask[]::new);
        dev.concert.RunHandle run = caller.run(text(args, "run_id"));
        return Map.of("sequence", flag(args, "last") ? run.addLastTasks(tasks) : run.addTasks(tasks));
    }

    private Object acquire(Surface caller, Json args) throws Exception {
        String name = text(args, "as");
        LockBuilder builder = caller.lock(strings(args, "resources").toArray(String[]::new))
                .guards(text(args, "guards"))
                .holder(text(args, "holder"));
        if (text(args, "mode").equals("shared")) {
            builder.shared();
        }
        args.get("lease").optional().ifPresent(lease -> builder.lease(RunArguments.duration(lease)));
        args.get("wait").optional().ifPresent(wait -> builder.waitFor(RunArguments.duration(wait)));
        args.get("priority").optional().ifPresent(priority -> builder.priority(priority.asInt()));
        LockThing lock = new LockThing(builder, why -> lost(name, why));
        List<LockGrant> grants = lock.enter().grants();
        things.put(name, lock);
        return Map.of("grants", grants.stream().map(Values::grant).toList());
    }

    // ---- state

    /** A change of shared state. */
    @SuppressWarnings("unchecked") // an object of a request is a map with string keys
    static StateChanges changes(Json args) {
        Map<String, Object> updates =
                args.get("updates").isNull() ? Map.of() : (Map<String, Object>) Values.decoded(args.get("updates"));
        StateChanges changes =
                switch (text(args, "strategy")) {
                    case "replace" -> StateChanges.replace(updates);
                    case "append" -> StateChanges.append(updates);
                    default -> StateChanges.merge(updates);
                };
        changes = changes.under(text(args, "prefix"))
                .deletes(strings(args, "deletes").toArray(String[]::new));
        return args.get("base_revision").isNull()
                ? changes
                : changes.base(args.get("base_revision").asLong());
    }

    private static Object deleteState(Surface caller, Json args) {
        DeleteStateRequest.Builder request = DeleteStateRequest.newBuilder()
                .addAllKeys(strings(args, "keys"))
                .setPrefix(text(args, "prefix"));
        args.get("base_revision").optional().ifPresent(base -> request.setBaseRevision(base.asLong()));
        return Map.of("revision", caller.state().delete(request));
    }

    private static Object getState(Surface caller, Json args) {
        long at = args.get("at").isNull() ? 0 : args.get("at").asLong();
        Collection<StateEntry> entries = args.get("keys").isNull()
                ? caller.state().list(text(args, "prefix"), at)
                : caller.state().getAll(strings(args, "keys"), at).values();
        Map<String, Object> found = new LinkedHashMap<>();
        entries.forEach(each -> found.put(
                each.key(), Map.of("value", each.value(), "revision", each.revision(), "writer", each.writer())));
        return Map.of("entries", found);
    }

    private static Object modifyState(Surface caller, Json args) {
        double add = args.get("add").asDouble();
        dev.concert.State.Modified modified =
                caller.state().modify(text(args, "key"), held -> Json.of((held.isNull() ? 0 : held.asDouble()) + add));
        return Map.of("value", modified.value(), "revision", modified.revision());
    }

    private static Object serverInfo(Surface caller) {
        GetServerInfoResponse info = caller.serverInfo();
        return Map.of("feature_level", info.getFeatureLevel(), "limits", info.getLimitsMap());
    }

    // ---- arguments

    private static String text(Json args, String name) {
        return args.get(name).optional().map(Json::asString).orElse("");
    }

    private static int number(Json args, String name) {
        return args.get(name).optional().map(Json::asInt).orElse(0);
    }

    private static boolean flag(Json args, String name) {
        return args.get(name).optional().map(Json::asBoolean).orElse(false);
    }

    private static List<String> strings(Json args, String name) {
        return RunArguments.list(args.get(name)).stream().map(Json::asString).toList();
    }

    private static With[] with(Json args) {
        List<With> with = new ArrayList<>();
        if (!args.get("request_id").isNull()) {
            with.add(With.requestId(text(args, "request_id")));
        }
        RunArguments.list(args.get("fences"))
                .forEach(each -> with.add(With.fence(
                        text(each, "resource"), each.get("fencing_token").asLong())));
        return with.toArray(With[]::new);
    }
}
