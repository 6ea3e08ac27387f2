/** Which events are meant, and where to start. */
import { InvalidArgument } from "./errors.js";
import { EventFilter, EventType } from "./generated/concert/v1/event.js";
import { Cursor, StartPosition } from "./generated/concert/v1/event_service.js";
import { message } from "./message.js";
import { toTimestamp } from "./time.js";

/** A number of EventType, or its name in either case: "agent_completed". */
export type EventTypeLike = EventType | string;

/** Selects events: all lists given must match, in each one entry is enough. */
export interface EventSelection {
  types?: readonly EventTypeLike[];
  agentIds?: readonly string[];
  agentNames?: readonly string[];
  runIds?: readonly string[];
  taskIds?: readonly string[];
  customNames?: readonly string[];
}

/** An end of the log. */
export type Start = "latest" | "earliest";

/** Where to start: after a position (a Cursor or a sequence), else at a time, else at an end, "latest" when nothing is said. */
export interface StartOptions {
  after?: Cursor | bigint;
  since?: Date;
  start?: Start;
}

/** The contract's words for it. Throws InvalidArgument for an event type there is not. */
export function eventFilter(selection: EventSelection): EventFilter {
  return message(EventFilter, {
    types: (selection.types ?? []).map(eventType),
    agentIds: [...(selection.agentIds ?? [])],
    agentNames: [...(selection.agentNames ?? [])],
    runIds: [...(selection.runIds ?? [])],
    taskIds: [...(selection.taskIds ?? [])],
    customNames: [...(selection.customNames ?? [])],
  });
}

/** The number of an event type. Throws InvalidArgument for a name there is not. */
export function eventType(like: EventTypeLike): EventType {
  if (typeof like === "number") return like;
  const name = like.toUpperCase().replace(/^EVENT_TYPE_/, "");
  const number = Object.hasOwn(EventType, name) ? EventType[name as keyof typeof EventType] : undefined;
  if (typeof number !== "number" || number < 0)
    throw new InvalidArgument(`there is no event type ${JSON.stringify(like)}`);
  return number;
}

/** The contract's words for a start. Throws InvalidArgument. */
export function startOf({
  after,
  since,
  start = "latest",
}: StartOptions):
  | { $case: "after"; value: Cursor }
  | { $case: "since"; value: ReturnType<typeof toTimestamp> }
  | { $case: "position"; value: StartPosition } {
  if (start !== "latest" && start !== "earliest") {
    throw new InvalidArgument(`a subscription starts at "latest" or "earliest", not at ${JSON.stringify(start)}`);
  }
  if (after !== undefined) return { $case: "after", value: toCursor(after) };
  if (since !== undefined) return { $case: "since", value: toTimestamp(since) };
  return { $case: "position", value: start === "earliest" ? StartPosition.EARLIEST : StartPosition.LATEST };
}

/** A position: a sequence is one of whichever log there is. */
export function toCursor(position: Cursor | bigint): Cursor {
  return typeof position === "bigint" ? message(Cursor, { sequence: position }) : position;
}
