// Events as rows: when, what, to whom, why, and what led to it.

import { h } from "./dom.js";
import { explaining } from "./route.js";
import { clock, ms, name } from "./words.js";

const TONES = {
  AGENT_COMPLETED: "ok",
  AGENT_FAILED: "bad",
  CIRCUIT_OPENED: "bad",
  CONFLICT_DETECTED: "warn",
  COORDINATION_REQUIRED: "warn",
  RESOURCE_REQUEST_TIMED_OUT: "warn",
  RESOURCE_REQUEST_REFUSED: "warn",
  TASK_RETRY_SCHEDULED: "warn",
  TASK_SKIPPED: "warn",
  AGENT_DETACHED: "warn",
  AGENT_DISCONNECTED: "warn",
  TASK_ASSIGNED: "go",
  AGENT_STARTED: "go",
  RESOURCE_ACQUIRED: "go",
  RUN_SUBMITTED: "go",
  RUN_COMPLETED: "ok",
  CUSTOM: "own",
};

export const tone = (type) => TONES[type] ?? "plain";

export function eventRows(lines) {
  return h("ul", { class: "rows events", "data-steps": "rows" }, lines.map(eventRow));
}

function eventRow({ step }) {
  const type = name("EventType", step.type);
  return h("li", { key: step.sequence },
    h("a", { class: "row event", "data-row": true, href: explaining({ sequence: step.sequence }) },
      h("span", { class: "seq" }, `#${step.sequence}`),
      h("time", null, clock(ms(step.timestamp_ns), true)),
      h("span", { class: `type t-${tone(type)}` }, type),
      h("span", { class: "reason" }, step.text),
      h("span", { class: "because" }, step.cause ? `${step.reason} ← #${step.cause}` : step.reason)));
}
