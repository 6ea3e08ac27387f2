package dev.concert;

import dev.concert.v1.Dependency;

/** What tasks depend on, or come after. */
public final class On {
    private On() {}

    /** The task of that id. */
    public static Dependency task(String taskId) {
        return Dependency.newBuilder().setTaskId(taskId).build();
    }

    /** Every other task for that agent name. */
    public static Dependency agent(String agentName) {
        return Dependency.newBuilder().setAgentName(agentName).build();
    }

    /** Every other task that asks for, or whose agent declares, that capability. */
    public static Dependency capability(String capability) {
        return Dependency.newBuilder().setCapability(capability).build();
    }
}
