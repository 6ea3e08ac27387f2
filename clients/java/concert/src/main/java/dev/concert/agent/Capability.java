package dev.concert.agent;

import java.util.Map;

/**
 * Something an agent can do, as tasks ask for it by name.
 *
 * @param name 1 to 128 bytes
 * @param version the agent's version of it, for people
 * @param labels annotations
 */
public record Capability(String name, String version, Map<String, String> labels) {
    /** Without version and annotations. */
    public static Capability of(String name) {
        return new Capability(name, "", Map.of());
    }
}
