package dev.concert.agent;

import dev.concert.On;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.internal.Limits;
import dev.concert.v1.AgentSpec;
import dev.concert.v1.Dependency;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.function.Consumer;

/**
 * An agent: a role with capabilities that can be given tasks, and what does them. Immutable: each method returns a changed
 * copy.
 *
 * <pre>{@code
 * Agent thumbnails = Agent.named("thumbnails")
 *         .on("image_optimization", context -> optimise(context.input()));
 * AgentHost.run(Coordinator.at("127.0.0.1:7420"), thumbnails);
 * }</pre>
 */
public final class Agent {
    private record Offer(Capability capability, Handler handler) {}

    private final AgentSpec spec;
    private final Map<String, Offer> offers;
    private final Handler fallback;
    private final ExecutorService executor;

    private Agent(AgentSpec spec, Map<String, Offer> offers, Handler fallback, ExecutorService executor) {
        this.spec = spec;
        this.offers = offers;
        this.fallback = fallback;
        this.executor = executor;
    }

    /** Of that role, 1 to 128 bytes; many instances may share one. */
    public static Agent named(String role) {
        return new Agent(AgentSpec.newBuilder().setAgentName(role).setSlots(1).build(), Map.of(), null, null);
    }

    /** This instance, 1 to 128 bytes: only one session lives under it. The role and a random suffix unless said. */
    public Agent id(String agentId) {
        return with(it -> it.setAgentId(agentId));
    }

    /** Takes tasks of a capability. */
    public Agent on(String capability, Handler handler) {
        return on(Capability.of(capability), handler);
    }

    /** Takes tasks of a capability. */
    public Agent on(Capability capability, Handler handler) {
        Map<String, Offer> more = new LinkedHashMap<>(offers);
        more.put(capability.name(), new Offer(capability, handler));
        return new Agent(spec, more, fallback, executor);
    }

    /** Takes no more tasks of a capability. */
    public Agent without(String capability) {
        Map<String, Offer> fewer = new LinkedHashMap<>(offers);
        fewer.remove(capability);
        return new Agent(spec, fewer, fallback, executor);
    }

    /** Takes no more tasks of any capability. */
    public Agent withoutAll() {
        return new Agent(spec, Map.of(), fallback, executor);
    }

    /**
     * Takes tasks that are for this agent or its role rather than for a capability; those of the only capability do unless
     * said. An agent with this alone has a capability of its role's name.
     */
    public Agent onAny(Handler handler) {
        return new Agent(spec, offers, handler, executor);
    }

    /** How many tasks it takes at once, 1 to 1000; 1 unless said. */
    public Agent slots(int tasks) {
        if (tasks < 1 || tasks > Limits.AGENT_SLOTS_MAX) {
            throw new InvalidArgumentException(
                    "an agent takes 1 to " + Limits.AGENT_SLOTS_MAX + " tasks at once, not " + tasks);
        }
        return with(it -> it.setSlots(tasks));
    }

    /** Annotations. */
    public Agent labels(Map<String, String> entries) {
        return with(it -> it.clearLabels().putAllLabels(entries));
    }

    /** For runs made of agents: which roles have to have succeeded first. */
    public Agent dependsOn(String... agentNames) {
        return dependsOn(Arrays.stream(agentNames).map(On::agent).toArray(Dependency[]::new));
    }

    /** For runs made of agents: what has to have succeeded first. */
    public Agent dependsOn(Dependency... dependencies) {
        return with(it -> it.addAllDependsOn(Arrays.asList(dependencies)));
    }

    /** For runs made of agents: what has to be over first, whatever the outcome. */
    public Agent after(Dependency... dependencies) {
        return with(it -> it.addAllAfter(Arrays.asList(dependencies)));
    }

    /** Where its handlers run; in threads of the agent's own unless said. It stays the caller's to shut down. */
    public Agent executor(ExecutorService threads) {
        return new Agent(spec, offers, fallback, threads);
    }

    /** The role. */
    public String role() {
        return spec.getAgentName();
    }

    ExecutorService executor() {
        return executor;
    }

    /** What it says of itself. */
    AgentSpec spec() {
        AgentSpec.Builder said = spec.toBuilder();
        List<Capability> capabilities = new ArrayList<>();
        offers.values().forEach(offer -> capabilities.add(offer.capability()));
        if (capabilities.isEmpty()) {
            capabilities.add(Capability.of(role())); // a session without any capability takes no tasks
        }
        capabilities.forEach(each -> said.addCapabilities(dev.concert.v1.Capability.newBuilder()
                .setName(each.name())
                .setVersion(each.version())
                .putAllLabels(each.labels())));
        return said.build();
    }

    /** Who does tasks of that capability; null when nobody does. */
    Handler handlerFor(String capability) {
        Offer offer = offers.get(capability);
        if (offer != null) {
            return offer.handler();
        }
        if (fallback != null || offers.size() != 1 || !capability.isEmpty()) {
            return fallback;
        }
        return offers.values().iterator().next().handler();
    }

    private Agent with(Consumer<AgentSpec.Builder> change) {
        AgentSpec.Builder changed = spec.toBuilder();
        change.accept(changed);
        return new Agent(changed.build(), offers, fallback, executor);
    }
}
