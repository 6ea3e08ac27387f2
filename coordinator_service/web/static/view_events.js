// Events: the stream as it goes, by type, run, task and agent, each with its cause.

import { h } from "./dom.js";
import { empty, panel, settled, waiting } from "./parts.js";
import { eventRows } from "./event_rows.js";
import { withAsked } from "./route.js";
import { allNames, plain } from "./words.js";

const KINDS = {
  "": "Everything",
  work: "Runs and tasks",
  agents: "Agents",
  locks: "Locks",
  state: "State",
  trouble: "Trouble",
  custom: "Custom",
};
const TYPES = {
  work: /^(RUN_|TASK_|AGENT_(STARTED|COMPLETED|FAILED))/,
  agents: /^(AGENT_(REGISTERED|UPDATED|DETACHED|ATTACHED|DISCONNECTED|DRAINING)|CIRCUIT_|OWNER_)/,
  locks: /^RESOURCE_/,
  state: /^(STATE_|CONFLICT_|COORDINATION_)/,
  trouble: /^(AGENT_(FAILED|DETACHED|DISCONNECTED)|CONFLICT_DETECTED|COORDINATION_|CIRCUIT_OPENED|TASK_(SKIPPED|CANCELLED|RETRY_SCHEDULED|CANCEL_REQUESTED)|RESOURCE_REQUEST_(TIMED_OUT|REFUSED)|RUN_CANCELLED)/,
  custom: /^CUSTOM$/,
};
const held = { topic: "", lines: null, earlier: [], before: 0, loading: false };

function topic(route) {
  const { kind = "", type = "", run = "", task = "", agent = "" } = route.asked;
  const asked = { run_id: run, task_id: task, agent_id: agent };
  const types = type ? [type] : TYPES[kind] ? allNames("EventType").filter((each) => TYPES[kind].test(each)) : [];
  const pairs = Object.entries(asked).filter(([, value]) => value);
  return `view=events&${new URLSearchParams([["types", types.join(",")], ...pairs])}`;
}

export const events = {
  topics: (route) => [topic(route)],
  title: () => "Events",
  content(model, route, draw) {
    const watched = topic(route);
    const found = model.body(watched);
    if (held.topic !== watched) Object.assign(held, { topic: watched, lines: null, earlier: [], before: 0, loading: false });
    const lines = held.lines ?? found?.lines;
    const pause = () => { held.lines = held.lines ? null : found?.lines; draw(true); };
    return panel("Events", { id: "events", wide: true, aside: [
      found?.passed_over > 0 && h("span", { class: "dim" }, `${found.passed_over.toLocaleString("en")} came too fast to be shown`),
      h("button", { class: "button quiet", type: "button", "aria-pressed": String(Boolean(held.lines)), onclick: pause }, held.lines ? "Go on" : "Pause"),
    ] },
    filters(route),
    !lines ? waiting(model, watched, "events")
      : lines.length ? [eventRows([...lines].reverse()), held.earlier.length > 0 && eventRows(held.earlier), more(model, watched, lines, draw)] : [empty("No such event, of the last 20 000."), null]);
  },
};

function filters(route) {
  const { kind = "", type = "" } = route.asked;
  const field = (name, label) => h("label", { class: "search", key: name }, h("span", { class: "hidden" }, label),
    h("input", { type: "search", placeholder: label, value: route.asked[name] ?? "", maxlength: "128", spellcheck: "false", autocomplete: "off", oninput: (event) => { const value = event.target.value; settled(() => location.replace(withAsked({ [name]: value }))); } }));
  return h("div", { class: "filters" },
    h("div", { class: "choices", role: "group", "aria-label": "Kinds of events" }, Object.entries(KINDS).map(([key, label]) =>
      h("button", { key, type: "button", "aria-pressed": String(!type && key === kind), onclick: () => location.replace(withAsked({ kind: key, type: "" })) }, label))),
    h("label", { class: "search" }, h("span", { class: "hidden" }, "Type"),
      h("select", { onchange: (event) => location.replace(withAsked({ type: event.target.value, kind: "" })) },
        h("option", { value: "", selected: !type }, "any type"), allNames("EventType").map((each) => h("option", { key: each, value: each, selected: each === type }, plain(each))))),
    field("run", "Run id"), field("task", "Task id"), field("agent", "Agent id"));
}

function more(model, watched, lines, draw) {
  const first = held.earlier.at(-1) ?? lines[0];
  const before = held.before || first.step.sequence;
  if (before <= 1 || held.before === -1) return null;
  const load = async () => {
    held.loading = true;
    held.lines = held.lines ?? lines;
    draw(true);
    const answer = await fetch(`events?${new URLSearchParams({ namespace: model.namespace, topic: watched, before })}`);
    const page = await answer.json();
    if (held.topic === watched && answer.ok) {
      held.earlier = [...held.earlier, ...page.lines].slice(0, 2000);
      held.before = page.before || -1;
    }
    held.loading = false;
    draw(true);
  };
  return h("p", { class: "more" }, h("button", { class: "button", type: "button", disabled: held.loading, onclick: load }, held.loading ? "Reading …" : "Earlier"));
}
