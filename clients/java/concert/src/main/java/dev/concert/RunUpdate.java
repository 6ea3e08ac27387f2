package dev.concert;

import dev.concert.v1.Event;
import dev.concert.v1.Run;
import java.util.List;
import java.util.Optional;

/**
 * What happened to a run.
 *
 * @param run the run as the events leave it, where the coordinator sent it: in the first update and the last, and after a
 *     reconnect
 * @param events what happened since the update before
 * @param sequence what this is true at
 */
public record RunUpdate(Optional<Run> run, List<Event> events, long sequence) {
    /** Whether the run is over. */
    public boolean isOver() {
        return run.map(RunHandle::isOver).orElse(false);
    }
}
