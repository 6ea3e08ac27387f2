// Now: what is happening, what waits for what and why, and where the time went.

import { h } from "./dom.js";
import { countsBar, empty, mark, overOf, panel, party, runLink, someOf, tasksOf, waiting, why } from "./parts.js";
import { to } from "./route.js";
import { eventRows } from "./event_rows.js";
import { count, ms, name, percent, plain, short, span } from "./words.js";

const EVENTS = "view=events";

export const now = {
  topics: () => [EVENTS],
  title: () => "Now",
  content(model) {
    const overview = model.overview;
    if (!overview) return waiting(model, "view=overview", "the coordinator");
    return h("div", { class: "grid" },
      tiles(model, overview),
      waits(model, overview),
      times(overview),
      runsPanel(model, overview),
      agentsPanel(model, overview),
      locksPanel(model, overview),
      eventsPanel(model));
  },
};

function tiles(model, { orchestrations: o, health, agents, locks }) {
  const slots = agents.shown.reduce((sum, each) => sum + (each.status === 4 ? 0 : each.slots), 0);
  return h("ul", { class: "tiles wide" },
    tile("runs", "Runs active", o.runs_active, `${short(o.runs_total)} in all`),
    tile("runs", "Tasks executing", o.tasks_running, `${short(o.tasks_over)} over in active runs`, o.tasks_running && "RUNNING"),
    tile("runs", "Tasks waiting", o.tasks_ready + o.tasks_backing_off, `${short(o.tasks_pending)} more depend on others`, o.tasks_ready + o.tasks_backing_off && "READY"),
    tile("agents", "Agents connected", o.sessions, agents.total > agents.shown.length ? "" : `${slots} slots`),
    tile("locks", "Locks held", o.locks_held, `${count(o.lock_requests_waiting, "request")} waiting`, o.lock_requests_waiting && "READY"),
    tile("events", "Failures, 5 min", health.failures, `${percent(health.failure_rate)} of ${short(health.events)} events`, health.failures && "FAILED"));
}

function tile(view, label, value, note, tone) {
  return h("li", { key: label }, h("a", { href: to(view), class: `tile ${tone ? `s-${tone}` : ""}` }, h("span", null, label), h("b", null, short(value)), h("small", null, note)));
}

function waits(model, { waits: lines, orchestrations: o }) {
  const total = o.tasks_ready + o.tasks_backing_off + o.lock_requests_waiting;
  return panel("What waits, and why", { id: "waits", aside: total ? someOf(lines.length, total, "thing") : null, klass: "two-thirds" },
    lines.length
      ? h("ul", { class: "rows", "data-steps": "rows" }, lines.map((line) => waitRow(model, line)))
      : empty(o.tasks_running ? "Nothing waits: all that could go on is being executed." : "Nothing waits."));
}

export function waitRow(model, line) {
  const subject = line.request_sequence ? { sequence: line.request_sequence } : { run_id: line.run_id, task_id: line.task_id };
  const label = line.request_sequence
    ? [line.holder, h("span", { class: "dim" }, " for "), line.resource]
    : [h("span", { class: "dim" }, `${line.run_id}/`), line.task_id];
  return h("li", { key: JSON.stringify(subject) },
    h("a", { class: "row wait", "data-row": true, href: why(subject, "").props.href },
      mark(line.kinds.includes(2) ? "BACKING_OFF" : "READY"),
      h("span", { class: "what" }, label),
      h("span", { class: "reason" }, line.text),
      h("time", null, span(model.now - ms(line.since_ns)))));
}

/** Waiting beside executing, by agent name. */
function times({ roles }) {
  const shown = roles.filter((each) => each.executions).slice(0, 10);
  const top = Math.max(1, ...shown.map((each) => each.waiting_ns + each.executing_ns));
  return panel("Where the time went", { id: "times", aside: h("span", { class: "key" }, h("i", { class: "swatch waited" }), "waited ", h("i", { class: "swatch executed" }), "executed"), klass: "third" },
    shown.length
      ? h("ul", { class: "times" }, shown.map((each) =>
          h("li", { key: each.agent_name },
            h("div", null, h("span", { class: "name" }, each.agent_name), each.failures > 0 && h("span", { class: "status s-FAILED" }, mark("FAILED"), each.failures)),
            h("div", { class: "stack", role: "img", "aria-label": `${each.agent_name}: waited ${span(ms(each.waiting_ns))}, executed ${span(ms(each.executing_ns))}` },
              h("i", { class: "waited", style: { width: `${(each.waiting_ns / top) * 100}%` } }),
              h("i", { class: "executed", style: { width: `${(each.executing_ns / top) * 100}%` } })),
            h("small", null, `${span(ms(each.waiting_ns))} waited · ${span(ms(each.executing_ns))} executed · ${count(each.executions, "attempt")}`))))
      : empty("Nothing was executed yet."));
}

function runsPanel(model, { runs }) {
  return panel("Runs", { id: "runs-now", aside: h("a", { href: to("runs") }, "all"), klass: "half" },
    runs.shown.length ? h("ul", { class: "rows", "data-steps": "rows" }, runs.shown.slice(0, 8).map((each) => runRow(model, each))) : empty("No run was submitted yet."));
}

export function runRow(model, each) {
  const word = each.cancelling ? "CANCELLING" : name("RunStatus", each.status);
  const until = each.finished_at_ns ? ms(each.finished_at_ns) : model.now;
  return h("li", { key: each.run_id },
    h("a", { class: "row run", "data-row": true, href: runLink(each.run_id).props.href },
      mark(word),
      h("span", { class: "what" }, each.name || each.run_id, each.name && h("span", { class: "dim" }, ` ${each.run_id}`), each.generation > 1 && h("span", { class: "tag" }, `try ${each.generation}`), each.open && h("span", { class: "tag" }, "open")),
      countsBar(each.counts),
      h("span", { class: "dim" }, `${overOf(each.counts)}/${tasksOf(each.counts)}`),
      h("time", null, span(until - ms(each.began_at_ns))),
      h("span", { class: "hidden" }, plain(word))));
}

function agentsPanel(model, { agents }) {
  const present = agents.shown.filter((each) => name("AgentStatus", each.status) !== "DISCONNECTED");
  return panel("Agents", { id: "agents-now", aside: h("a", { href: to("agents") }, "all"), klass: "half" },
    present.length ? h("ul", { class: "rows", "data-steps": "rows" }, present.slice(0, 8).map((each) => agentRow(model, each))) : empty("No agent is connected."));
}

function agentRow(model, each) {
  const attempt = each.attempts[0];
  const circuit = each.circuits.find((one) => name("CircuitStatus", one.status) !== "CLOSED");
  return h("li", { key: each.agent_id },
    h("a", { class: "row agent", "data-row": true, href: why({ agent_id: each.agent_id }, "").props.href },
      slots(each),
      h("span", { class: "what" }, each.agent_id),
      h("span", { class: "reason" },
        circuit ? h("span", { class: "s-FAILED" }, `circuit ${plain(name("CircuitStatus", circuit.status))}: ${circuit.capability}`)
          : attempt ? [attempt.task_id, attempt.message && h("span", { class: "dim" }, ` · ${attempt.message}`)] : plain(name("AgentStatus", each.status) === "ATTACHED" ? "idle" : name("AgentStatus", each.status))),
      attempt && h("time", null, span(model.now - ms(attempt.since_ns)))));
}

/** How much of what an agent can do at once it does. */
export function slots(each) {
  const shown = Math.min(each.slots, 8);
  const full = each.slots ? Math.round((each.running / each.slots) * shown) : 0;
  return h("span", { class: "slots", role: "img", "aria-label": `${each.running} of ${each.slots} slots` },
    Array.from({ length: shown }, (_, at) => h("i", { key: at, class: at < full ? "full" : "" })));
}

function locksPanel(model, { locks }) {
  return panel("Locks", { id: "locks-now", aside: h("a", { href: to("locks") }, "all"), klass: "half" },
    locks.shown.length
      ? h("ul", { class: "rows" }, locks.shown.slice(0, 8).map((each) =>
          h("li", { key: each.resource, class: "row lock" },
            why({ resource: each.resource }, each.resource, { class: "what" }),
            h("span", { class: "reason" }, each.holders.length ? ["held by ", party(each.holders[0]), each.holders_total > 1 && ` and ${each.holders_total - 1} more`] : "free"),
            each.waiters_total > 0 ? h("span", { class: "status s-READY" }, mark("READY"), `${each.waiters_total} waiting`) : h("time", null, each.holders.length ? span(model.now - ms(each.holders[0].since_ns)) : ""))))
      : empty("No lock is held."));
}

function eventsPanel(model) {
  const lines = model.body(EVENTS)?.lines ?? [];
  return panel("Events", { id: "events-now", aside: h("a", { href: to("events") }, "all"), klass: "half" },
    lines.length ? eventRows(lines.slice(-10).reverse()) : empty("Nothing happened yet."));
}

