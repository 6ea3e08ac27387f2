package dev.concert.agent;

/**
 * Does the tasks of a capability. One instance serves all of them, up to the agent's slots at once, so what belongs to one
 * task belongs in the TaskContext. Its methods run in a thread of the agent's executor, one after another for one attempt.
 */
@FunctionalInterface
public interface Handler {
    /**
     * Throw {@link PreconditionFailedException} to refuse the task for good. Runs before execute.
     *
     * @throws Exception fails the attempt
     */
    default void validatePreconditions(TaskContext context) throws Exception {}

    /**
     * Does the work. A cancel interrupts this thread, and calls to the coordinator throw then; {@link
     * TaskContext#cancellation} says so too.
     *
     * @return the result: JSON, bytes, a Payload, or null for none; at most 1 MiB encoded, together with what was staged
     *     with {@link TaskContext#setState}
     * @throws Exception fails the attempt, which the policy may try again; {@link NotRetryableException} for good
     */
    Object execute(TaskContext context) throws Exception;

    /**
     * Gives back what the attempt took. Runs once for each attempt, whatever happened, also after a cancel; before the
     * report, so that the attempt's locks still stand. Interrupted after 30 s; its failure is logged, not reported.
     *
     * @throws Exception is logged
     */
    default void cleanup(TaskContext context) throws Exception {}
}
