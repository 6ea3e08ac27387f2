// Words and numbers for people. The names of statuses and kinds come from the coordinator.

let names = {};

export function learn(found) {
  names = found;
}

/** The name of a number of an enumeration: name("TaskStatus", 3) is "RUNNING". */
export const name = (kind, number) => names[kind]?.[number] ?? String(number);
export const allNames = (kind) => Object.values(names[kind] ?? {});

/** SOME_NAME as people write it. */
export const plain = (word) => word.toLowerCase().replaceAll("_", " ");

export const ms = (ns) => ns / 1e6;

/** How long, in the unit that suits it. */
export function span(milliseconds) {
  const t = Math.max(0, milliseconds);
  if (t < 1) return "0 ms";
  if (t < 950) return `${Math.round(t)} ms`;
  if (t < 59_950) return `${(t / 1000).toFixed(t < 9950 ? 2 : 1)} s`;
  if (t < 3_599_500) return `${Math.floor(t / 60_000)} m ${String(Math.floor(t / 1000) % 60).padStart(2, "0")} s`;
  if (t < 172_800_000) return `${Math.floor(t / 3_600_000)} h ${String(Math.floor(t / 60_000) % 60).padStart(2, "0")} m`;
  return `${Math.floor(t / 86_400_000)} d`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

export function clock(milliseconds, thousandths = false) {
  const text = CLOCK.format(milliseconds);
  return thousandths ? `${text}.${String(Math.floor(milliseconds) % 1000).padStart(3, "0")}` : text;
}

export const moment = (milliseconds) => `${DAY.format(milliseconds)} ${clock(milliseconds, true)}`;

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export const short = (number) =>
  number < 10_000 ? number.toLocaleString("en") : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);

export const percent = (share) => `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;

/** A JSON value in a line. */
export const inline = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** What traces a run: the trace id of a W3C traceparent; empty where there is none. */
export const traceOf = (traceparent) => (/^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(traceparent || "") || ["", ""])[1];
