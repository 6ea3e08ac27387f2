/** Stating facts and reading them again. */
import type { Origin } from "./caller.js";
import { type EventSelection, eventFilter } from "./event_filter.js";
import { type Fences, toFences } from "./fences.js";
import { CustomEvent, type Event, EventDraft } from "./generated/concert/v1/event.js";
import { GetEventRequest, ListEventsRequest, PublishRequest } from "./generated/concert/v1/event_service.js";
import { PAGE_SIZE_MAX } from "./limits.js";
import { message } from "./message.js";
import { GET_EVENT, LIST_EVENTS, PUBLISH } from "./methods.js";
import { type PayloadLike, toPayload } from "./payload.js";
import { toTimestamp } from "./time.js";
import { currentTraceparent } from "./tracing.js";

/** What goes with a fact. */
export interface DraftOptions {
  /** A second draft under the same id is not stored again. */
  eventId?: string;
  runId?: string;
  taskId?: string;
  metadata?: Readonly<Record<string, string>>;
}

/** What goes with publishing. */
export interface PublishOptions {
  requestId?: string;
  /** Locks that this relies on; if one is no longer held nothing is published. */
  fences?: Fences;
}

/** Which part of history. */
export interface HistoryOptions extends EventSelection {
  since?: Date;
  until?: Date;
  /** Only after this sequence. */
  after?: bigint;
  /** Only up to this sequence; 0: no end. */
  upTo?: bigint;
  /** 1000 when left out. */
  limit?: number;
  descending?: boolean;
}

/** A custom event to publish, under a name of 1 to 128 bytes. Throws InvalidPayload. */
export function draft(name: string, data?: PayloadLike, options: DraftOptions = {}): EventDraft {
  return message(EventDraft, {
    custom: message(CustomEvent, { name, data: data === undefined ? undefined : toPayload(data) }),
    eventId: options.eventId ?? "",
    runId: options.runId ?? "",
    taskId: options.taskId ?? "",
    metadata: { ...options.metadata },
    traceparent: currentTraceparent(),
  });
}

/** Appends 1 to 1000 drafts, all or none; their sequences once they are durable. */
export async function publish(
  origin: Origin,
  events: readonly EventDraft[],
  { requestId = "", fences }: PublishOptions,
): Promise<bigint[]> {
  const { attemptToken } = origin;
  const request = message(PublishRequest, { attemptToken, requestId, events: [...events], fences: toFences(fences) });
  return (await origin.caller.call(PUBLISH, request)).sequences;
}

/** History. */
export class Events {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** One event. Throws NotFound, CursorCompacted. */
  async get(sequence: bigint): Promise<Event> {
    return (await this.#origin.caller.call(GET_EVENT, message(GetEventRequest, { sequence }))).event as Event;
  }

  /** At most `limit` events that match, in order. */
  async list(options: HistoryOptions = {}): Promise<Event[]> {
    const { since, until, after = 0n, upTo = 0n, limit = 1000, descending = false } = options;
    const request = message(ListEventsRequest, {
      filter: eventFilter(options),
      since: since === undefined ? undefined : toTimestamp(since),
      until: until === undefined ? undefined : toTimestamp(until),
      afterSequence: after,
      untilSequence: upTo,
      descending,
    });
    const found: Event[] = [];
    while (found.length < limit) {
      request.pageSize = Math.min(limit - found.length, PAGE_SIZE_MAX);
      const page = await this.#origin.caller.call(LIST_EVENTS, request);
      for (const event of page.events) found.push(event);
      request.pageToken = page.nextPageToken;
      if (page.nextPageToken === "") break;
    }
    return found;
  }
}
