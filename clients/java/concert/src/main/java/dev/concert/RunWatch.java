package dev.concert;

import dev.concert.internal.Following;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.Event;
import dev.concert.v1.EventFilter;
import dev.concert.v1.ListEventsRequest;
import dev.concert.v1.Run;
import dev.concert.v1.WatchRunRequest;
import dev.concert.v1.WatchRunResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Queue;

/**
 * A run until it is over: the run as it is first, then every event of it once, in order: {@code for (RunUpdate update :
 * watch)}. A broken stream is opened again, and the events between are read from history. For one reader.
 */
public final class RunWatch extends Stream<RunUpdate> {
    private static final Duration UNBOUNDED = Duration.ofDays(365); // a run may be quiet for long

    private final Origin origin;
    private final String runId;
    private final Following<WatchRunRequest, WatchRunResponse> following;
    private long seen;
    private long missedFrom;
    private Run.Builder arriving;
    private boolean isOver;

    RunWatch(Origin origin, String runId) {
        this.origin = origin;
        this.runId = runId;
        this.following = new Following<>(origin.caller(), Methods.WATCH_RUN, this::request, UNBOUNDED);
    }

    @Override
    boolean fetch(Queue<RunUpdate> into) {
        if (isOver) {
            close();
            return false;
        }
        WatchRunResponse response = following.next();
        if (response == null) {
            return false;
        }
        if (response.hasRun()) {
            if (arriving == null) {
                arriving = response.getRun().toBuilder();
            } else {
                arriving.addAllTasks(response.getRun().getTasksList());
            }
        }
        if (response.getRunContinues()) {
            return true;
        }
        RunUpdate update = new RunUpdate(
                Optional.ofNullable(arriving).map(Run.Builder::build), events(response), response.getSequence());
        arriving = null;
        missedFrom = 0;
        seen = Math.max(seen, response.getSequence());
        isOver = update.isOver();
        into.add(update);
        return true;
    }

    /** Those that are new, with what was missed while there was no stream before them. */
    private List<Event> events(WatchRunResponse response) {
        List<Event> fresh = response.getEventsList().stream()
                .filter(event -> event.getSequence() > seen)
                .toList();
        if (missedFrom == 0) {
            return fresh;
        }
        long until = fresh.isEmpty() ? response.getSequence() : fresh.get(0).getSequence() - 1;
        if (until <= missedFrom) {
            return fresh;
        }
        ListEventsRequest history = ListEventsRequest.newBuilder()
                .setFilter(EventFilter.newBuilder().addRunIds(runId))
                .setAfterSequence(missedFrom)
                .setUntilSequence(until)
                .build();
        List<Event> all = new ArrayList<>(new Events(origin).list(history, Limits.LIST_ENTRIES_MAX));
        all.addAll(fresh);
        return all;
    }

    /** Asked for with each stream. */
    private WatchRunRequest request() {
        missedFrom = seen;
        arriving = null;
        return WatchRunRequest.newBuilder().setRunId(runId).build();
    }

    /** Ends the watch. */
    @Override
    public void close() {
        following.close();
    }
}
