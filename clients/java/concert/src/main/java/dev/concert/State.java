package dev.concert;

import dev.concert.errors.InvalidArgumentException;
import dev.concert.errors.StateConflictException;
import dev.concert.internal.Backoff;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Waiting;
import dev.concert.v1.DeleteStateRequest;
import dev.concert.v1.GetStateRequest;
import dev.concert.v1.GetStateResponse;
import dev.concert.v1.ListStateHistoryRequest;
import dev.concert.v1.ListStateHistoryResponse;
import dev.concert.v1.StateRevision;
import dev.concert.v1.UpdateStateRequest;
import dev.concert.v1.UpdateStateResponse;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.UnaryOperator;

/** Shared state: versioned values under paths, whose conflicts are never silent. */
public final class State {
    private final Origin origin;

    /**
     * What {@link #modify} wrote.
     *
     * @param value the value
     * @param revision what it became
     */
    public record Modified(Json value, long revision) {}

    private record Read(Map<String, StateEntry> entries, long revision) {}

    State(Origin origin) {
        this.origin = origin;
    }

    /** One key; empty when it does not exist. */
    public Optional<StateEntry> get(String key) {
        return get(key, 0);
    }

    /** One key as it was at a revision. */
    public Optional<StateEntry> get(String key, long at) {
        return Optional.ofNullable(getAll(List.of(key), at).get(key));
    }

    /** Those of at most 1000 keys that exist, read at one revision; as they were {@code at} one unless that is 0. */
    public Map<String, StateEntry> getAll(Collection<String> keys, long at) {
        return read(keys, at).entries();
    }

    /** Everything at and under a path, by key. */
    public List<StateEntry> list(String prefix) {
        return list(prefix, 0);
    }

    /** Everything at and under a path, as it was at a revision. */
    public List<StateEntry> list(String prefix, long at) {
        GetStateRequest request =
                GetStateRequest.newBuilder().setPrefix(prefix).setRevision(at).build();
        return Pages.read(
                        origin,
                        Methods.GET_STATE,
                        request,
                        GetStateResponse::getEntriesList,
                        GetStateResponse::getNextPageToken)
                .stream()
                .map(StateEntry::of)
                .toList();
    }

    /** Merges values into keys, all or none; returns the revision. */
    public long update(Map<String, ?> updates) {
        return update(StateChanges.merge(updates));
    }

    /**
     * Makes a change; returns the revision.
     *
     * @param with locks that this relies on, or a request id
     * @throws StateConflictException when somebody else was faster
     */
    public long update(StateChanges change, With... with) {
        return update(change, 0, with);
    }

    /** With a priority of 0 to 9, which counts by the policy priority_based; inside an attempt the task's does. */
    public long update(StateChanges change, int priority, With... with) {
        return Waiting.join(send(change, priority, with)).getRevision();
    }

    /** As {@link #update(StateChanges, With...)}, without waiting. */
    public CompletableFuture<Long> updateAsync(StateChanges change, With... with) {
        return send(change, 0, with).thenApplyAsync(UpdateStateResponse::getRevision, origin.callbacks());
    }

    private CompletableFuture<UpdateStateResponse> send(StateChanges change, int priority, With... with) {
        UpdateStateRequest request = UpdateStateRequest.newBuilder()
                .setAttemptToken(origin.attemptToken())
                .setChange(change.toProto())
                .setWriter(origin.writer())
                .setPriority(priority)
                .setRequestId(With.requestIdOf(with))
                .addAllFences(With.fencesOf(with))
                .build();
        return origin.caller().call(Methods.UPDATE_STATE, request, null);
    }

    /** Deletes 1 to 1000 keys, all or none; returns the revision. NotFoundException when one is not there. */
    public long delete(String... keys) {
        return delete(DeleteStateRequest.newBuilder().addAllKeys(Arrays.asList(keys)));
    }

    /** Deletes whatever is at and under a path; returns the revision. NotFoundException when there is nothing. */
    public long deleteUnder(String prefix) {
        return delete(DeleteStateRequest.newBuilder().setPrefix(prefix));
    }

    /** Deletes as the request says; who asks is filled in here. */
    public long delete(DeleteStateRequest.Builder request) {
        request.setAttemptToken(origin.attemptToken()).setWriter(origin.writer());
        return origin.caller().ask(Methods.DELETE_STATE, request.build()).getRevision();
    }

    /** The changes of keys, as the request says; pages are seen to here. */
    public List<StateRevision> history(ListStateHistoryRequest request) {
        return Pages.read(
                origin,
                Methods.LIST_STATE_HISTORY,
                request,
                ListStateHistoryResponse::getRevisionsList,
                ListStateHistoryResponse::getNextPageToken);
    }

    /** The changes of a key, the oldest first. */
    public List<StateRevision> history(String key) {
        return history(ListStateHistoryRequest.newBuilder().setKey(key).build());
    }

    /** Follows at most 1000 keys: what they hold first, then each change. */
    public StateWatch watch(String... keys) {
        return new StateWatch(origin.caller(), Arrays.asList(keys), "", null);
    }

    /** Follows everything at and under a path: what is there first, then each change. */
    public StateWatch watchUnder(String prefix) {
        return new StateWatch(origin.caller(), List.of(), prefix, null);
    }

    /**
     * Replaces a value by what {@code change} makes of it (of null when there is none), and again when another was faster,
     * up to 20 times; it may be called several times.
     *
     * @throws StateConflictException after that, and at once where somebody else's lock guards the key
     */
    public Modified modify(String key, UnaryOperator<Json> change, With... with) {
        Backoff backoff = new Backoff();
        for (int attempt = 1; ; attempt++) {
            Read read = read(List.of(key), 0);
            StateEntry entry = read.entries().get(key);
            Json value = change.apply(entry == null ? Json.NULL : entry.value());
            StateChanges made = StateChanges.replace(Map.of(key, value)).base(read.revision());
            try {
                return new Modified(value, update(made, with));
            } catch (StateConflictException conflict) {
                if (attempt >= Limits.STATE_MODIFY_ATTEMPTS_MAX || conflict.isGuarded()) {
                    throw conflict;
                }
                Waiting.sleep(backoff.pause());
            }
        }
    }

    private Read read(Collection<String> keys, long at) {
        if (keys.isEmpty() || keys.size() > Limits.KEYS_PER_READ_MAX) {
            throw new InvalidArgumentException(
                    "a read names 1 to " + Limits.KEYS_PER_READ_MAX + " keys, not " + keys.size());
        }
        GetStateRequest.Builder request =
                GetStateRequest.newBuilder().addAllKeys(keys).setRevision(at);
        Map<String, StateEntry> entries = new LinkedHashMap<>();
        GetStateResponse response = origin.caller().ask(Methods.GET_STATE, request.build());
        long revision = response.getSequence();
        while (true) {
            response.getEntriesList().forEach(each -> entries.put(each.getKey(), StateEntry.of(each)));
            if (response.getNextPageToken().isEmpty()) {
                return new Read(entries, revision);
            }
            request.setRevision(revision).setPageToken(response.getNextPageToken()); // the rest as it was then
            response = origin.caller().ask(Methods.GET_STATE, request.build());
        }
    }
}
