/** Reading a paged list to its end. */
import type { Caller } from "./caller.js";
import { LimitReached } from "./errors.js";
import { LIST_ENTRIES_MAX, PAGE_SIZE_MAX } from "./limits.js";
import type { Method } from "./methods.js";

/** The entries of all pages, or the first `limit`. Throws LimitReached beyond 100 000 without a limit. */
export async function readPages<
  Request extends { pageSize: number; pageToken: string },
  Response extends { nextPageToken: string },
  Entry,
>(
  caller: Caller,
  method: Method<Request, Response>,
  request: Request,
  entriesOf: (page: Response) => readonly Entry[],
  limit?: number,
): Promise<Entry[]> {
  const entries: Entry[] = [];
  request.pageSize = Math.min(limit ?? PAGE_SIZE_MAX, PAGE_SIZE_MAX);
  for (;;) {
    const page = await caller.call(method, request);
    for (const entry of entriesOf(page)) entries.push(entry);
    if (limit !== undefined && entries.length >= limit) return entries.slice(0, limit);
    if (page.nextPageToken === "") return entries;
    if (entries.length >= LIST_ENTRIES_MAX) {
      throw new LimitReached(`${method.name} has more than ${LIST_ENTRIES_MAX} entries: narrow it, or give a limit`);
    }
    request.pageToken = page.nextPageToken;
  }
}
