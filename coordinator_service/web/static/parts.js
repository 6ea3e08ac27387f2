// The parts that views are made of.

import { h } from "./dom.js";
import { explaining, to } from "./route.js";
import { count, span } from "./words.js";

const MARKS = {
  PENDING: ["circle", { cx: 8, cy: 8, r: 5 }],
  READY: ["circle", { cx: 8, cy: 8, r: 5, "stroke-dasharray": "3 2.2" }],
  RUNNING: ["path", { d: "M5.5 3.5v9l7-4.5z", class: "solid" }],
  CANCELLING: ["path", { d: "M8 3a5 5 0 1 0 0 10z M8 3a5 5 0 0 1 0 10", class: "solid" }],
  BACKING_OFF: ["path", { d: "M12.5 8a4.5 4.5 0 1 1-1.6-3.4M11 1.8v3h-3" }],
  SUCCEEDED: ["path", { d: "M3.5 8.5l3 3 6-7" }],
  FAILED: ["path", { d: "M4 4l8 8M12 4l-8 8" }],
  SKIPPED: ["path", { d: "M3.5 8h9" }],
  CANCELLED: ["path", { d: "M8 3a5 5 0 1 0 0 10a5 5 0 0 0 0-10M4.6 4.6l6.8 6.8" }],
  PARTIAL_FAILURE: ["path", { d: "M8 3v6M8 12v.5" }],
  TIMED_OUT: ["path", { d: "M8 3a5 5 0 1 0 0 10a5 5 0 0 0 0-10M8 5.5v3l2 1.2" }],
};

/** The sign of a status: a shape of its own, not only a colour. */
export function mark(status) {
  const [tag, shape] = MARKS[status] ?? MARKS.PENDING;
  return h("svg", { class: `mark s-${status}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, h(tag, shape));
}

export function panel(title, { id, aside, wide, klass = "" } = {}, ...content) {
  return h("section", { class: `panel ${wide ? "wide" : ""} ${klass}`, "aria-labelledby": id },
    h("header", null, h("h2", { id }, title), aside && h("div", { class: "aside" }, aside)),
    content);
}

export const empty = (text) => h("p", { class: "empty" }, text);

/** A link that explains something. */
export function why(subject, label, props = {}) {
  return h("a", { href: explaining(subject), class: "why", ...props }, label);
}

export const runLink = (run_id, label = run_id) => h("a", { href: to("run", run_id) }, label);

export function taskWhy(run_id, task_id) {
  return why({ run_id, task_id }, [h("span", { class: "dim" }, `${run_id}/`), task_id]);
}

/** Who holds or waits for something: a task, an agent or a name. */
export function party(each) {
  if (each.task_id) return taskWhy(each.run_id, each.task_id);
  if (each.agent_id) return why({ agent_id: each.agent_id }, each.agent_id);
  return h("span", { class: "name" }, each.holder);
}

const COUNTS = [
  ["succeeded", "SUCCEEDED"],
  ["running", "RUNNING"],
  ["ready", "READY"],
  ["pending", "PENDING"],
  ["failed", "FAILED"],
  ["skipped", "SKIPPED"],
  ["cancelled", "CANCELLED"],
];

/** The tasks of a run as one bar. */
export function countsBar(counts, legend = false) {
  const shown = COUNTS.filter(([key]) => counts[key]);
  const all = shown.reduce((sum, [key]) => sum + counts[key], 0) || 1;
  const said = shown.map(([key]) => `${counts[key]} ${key}`).join(", ") || "no tasks";
  return h("div", { class: "counts" },
    h("div", { class: "counts-bar", role: "img", "aria-label": said },
      shown.map(([key, word]) => h("i", { key, class: `fill f-${word}`, style: { width: `${(counts[key] / all) * 100}%` } }))),
    legend && h("ul", { class: "legend" }, shown.map(([key, word]) => h("li", { key }, mark(word), `${counts[key].toLocaleString("en")} ${key}`))));
}

export const tasksOf = (counts) => COUNTS.reduce((sum, [key]) => sum + counts[key], 0);
export const overOf = (counts) => counts.succeeded + counts.failed + counts.skipped + counts.cancelled;

export function search(value, label, onchange) {
  return h("label", { class: "search" },
    h("span", { class: "hidden" }, label),
    h("input", { type: "search", value, placeholder: label, oninput: (event) => onchange(event.target.value), autocomplete: "off", spellcheck: "false", maxlength: "128" }));
}

let typing = 0;

/** Calls what is given once nobody has typed for a moment. */
export function settled(does) {
  clearTimeout(typing);
  typing = setTimeout(does, 250);
}

/** Choices of which one is taken. */
export function choices(label, options, chosen, choose) {
  return h("div", { class: "choices", role: "group", "aria-label": label },
    options.map(([value, text, number]) =>
      h("button", { key: value, type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) },
        text, number !== undefined && h("span", { class: "number" }, number.toLocaleString("en")))));
}

export function someOf(shown, total, thing) {
  return shown < total ? `${shown} of ${count(total, thing)}` : count(total, thing);
}

export const ago = (model, milliseconds) => `${span(model.now - milliseconds)} ago`;

export function waiting(model, topic, what) {
  const fault = model.fault(topic);
  return fault ? h("p", { class: "fault", role: "alert" }, fault) : h("p", { class: "empty" }, `Waiting for ${what} …`);
}
