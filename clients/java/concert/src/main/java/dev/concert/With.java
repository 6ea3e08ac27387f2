package dev.concert;

import dev.concert.v1.Fence;
import dev.concert.v1.LockGrant;
import java.util.Arrays;
import java.util.List;

/**
 * What a change may be made with: locks that it relies on (if one is gone by then, the change is refused and nothing
 * happens), or a request id of one's own (the same change again under it takes effect once). A {@link LockScope} is one.
 *
 * <pre>{@code
 * client.state().update(change, lock, With.requestId("invoice-17"));
 * }</pre>
 */
public interface With {
    /** Each lock with its token. */
    default List<Fence> fences() {
        return List.of();
    }

    /** Names the request, at most 128 bytes; empty for one that the client makes. */
    default String requestId() {
        return "";
    }

    /** A request id of one's own. */
    static With requestId(String id) {
        return new With() {
            @Override
            public String requestId() {
                return id;
            }
        };
    }

    /** A single grant, or one that somebody else sent. */
    static With fence(LockGrant grant) {
        return fence(grant.getResource(), grant.getFencingToken());
    }

    /** A lock by its name and fencing token. */
    static With fence(String resource, long fencingToken) {
        Fence fence = Fence.newBuilder()
                .setResource(resource)
                .setFencingToken(fencingToken)
                .build();
        return new With() {
            @Override
            public List<Fence> fences() {
                return List.of(fence);
            }
        };
    }

    /** The locks of all of them. */
    static List<Fence> fencesOf(With... with) {
        return Arrays.stream(with).flatMap(each -> each.fences().stream()).toList();
    }

    /** The request id among them; empty when there is none. */
    static String requestIdOf(With... with) {
        return Arrays.stream(with)
                .map(With::requestId)
                .filter(id -> !id.isEmpty())
                .findFirst()
                .orElse("");
    }
}
