package dev.concert;

import com.google.protobuf.Message;
import dev.concert.errors.LimitReachedException;
import dev.concert.internal.Limits;
import dev.concert.internal.Method;
import dev.concert.internal.Origin;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Reading a paged list to its end. */
final class Pages {
    private Pages() {}

    /** The entries of all pages. Throws LimitReachedException beyond 100 000. */
    @SuppressWarnings("unchecked") // a builder builds what it was made from
    static <Q extends Message, R extends Message, T> List<T> read(
            Origin origin,
            Method<Q, R> method,
            Q request,
            Function<R, List<T>> entries,
            Function<R, String> nextPageToken) {
        List<T> found = new ArrayList<>();
        Message.Builder page = request.toBuilder();
        page.setField(request.getDescriptorForType().findFieldByName("page_size"), Limits.PAGE_SIZE_MAX);
        while (true) {
            R response = origin.caller().ask(method, (Q) page.build());
            found.addAll(entries.apply(response));
            String next = nextPageToken.apply(response);
            if (next.isEmpty()) {
                return found;
            }
            if (found.size() >= Limits.LIST_ENTRIES_MAX) {
                throw new LimitReachedException(
                        method.name() + " has more than " + Limits.LIST_ENTRIES_MAX + " entries: narrow it");
            }
            page.setField(request.getDescriptorForType().findFieldByName("page_token"), next);
        }
    }
}
