// A run: its graph, its timeline with waiting and executing apart, its critical path, and where its time went.

import { actButton } from "./acting.js";
import { h } from "./dom.js";
import { choices, countsBar, mark, panel, search, tasksOf, waiting, why } from "./parts.js";
import { graph } from "./graph.js";
import { timeline } from "./timeline.js";
import { to } from "./route.js";
import { moment, ms, name, plain, span, traceOf } from "./words.js";

const topic = (route) => `view=run&${new URLSearchParams({ run_id: route.id })}`;
const SHOWN = {
  all: ["All", () => true],
  waiting: ["Waiting", (task, word) => word === "READY" || word === "BACKING_OFF"],
  executing: ["Executing", (task, word) => word === "RUNNING" || word === "CANCELLING"],
  failed: ["Failed", (task, word) => word === "FAILED" || word === "SKIPPED"],
  critical: ["Critical path", (task, word, critical) => critical.has(task.place)],
};
const chosen = { run: "", shown: "all", match: "" };

export const run = {
  topics: (route) => [topic(route)],
  title: (model, route) => model.body(topic(route))?.run.name || route.id,
  content(model, route, draw) {
    const body = model.body(topic(route));
    if (chosen.run !== route.id) Object.assign(chosen, { run: route.id, shown: "all", match: "" });
    if (!body) return panel(`Run ${route.id}`, { id: "run", wide: true }, waiting(model, topic(route), "the run"));
    return h("div", { class: "grid" }, head(model, body), graphPanel(body, route), timelinePanel(model, body, route, draw));
  },
};

/** When the run began and ended, or now. */
function frame(model, body) {
  const began = ms(body.run.began_at_ns);
  return { began, until: body.run.finished_at_ns ? ms(body.run.finished_at_ns) : Math.max(began, model.now) };
}

function head(model, body) {
  const { run } = body;
  const word = run.cancelling ? "CANCELLING" : name("RunStatus", run.status);
  const { began, until } = frame(model, body);
  const trace = traceOf(body.traceparent);
  const url = model.about?.trace_url;
  return h("section", { class: "panel wide run-head", "aria-label": "Run" },
    h("div", { class: "title" },
      h("h1", null, run.name || run.run_id),
      h("span", { class: `pill big s-${word}` }, mark(word), plain(word)),
      run.open && h("span", { class: "tag" }, "open"),
      run.generation > 1 && h("span", { class: "tag" }, `try ${run.generation}`),
      h("span", { class: "space" }),
      run.status < 3 && !run.cancelling && actButton("cancel", run, "Cancel"),
      run.status > 3 && actButton("retry", run, "Retry"),
      why({ run_id: run.run_id }, "Explain", { class: "button" }),
      h("a", { class: "button quiet", href: to("events", "", { run: run.run_id }) }, "Events"),
      trace && url && h("a", { class: "button quiet", href: url.replace("{trace_id}", trace), target: "_blank", rel: "noopener noreferrer" }, "Trace")),
    h("p", { class: "dim" }, run.name ? `${run.run_id} · ` : "", `began ${moment(began)}`, body.cancel_reason && ` · being stopped: ${body.cancel_reason}`,
      Object.entries(body.metadata).slice(0, 6).map(([key, value]) => ` · ${key} = ${value}`)),
    countsBar(run.counts, true),
    figures(body, until - began, run));
}

/** Where the time of the run went. */
function figures(body, makespan, run) {
  const executed = critical(body).reduce((sum, task) => sum + executedMs(task, body), 0);
  const chain = body.critical_ns ? ms(body.critical_ns) : Math.min(executed, makespan);
  const waited = Math.max(0, makespan - chain);
  const rest = makespan || 1;
  return h("div", { class: "makespan" },
    h("div", { class: "stack tall", role: "img", "aria-label": `Of ${span(makespan)} the critical path took ${span(chain)}` },
      h("i", { class: "critical", style: { width: `${(chain / rest) * 100}%` } }),
      h("i", { class: "waited", style: { width: `${(waited / rest) * 100}%` } })),
    h("p", null, h("b", null, span(makespan)), run.status >= 3 ? " makespan" : " so far", ": ",
      h("span", { class: "c-critical" }, `${span(chain)} critical path`), `, `,
      h("span", { class: "c-waiting" }, `${span(waited)} waiting beside it`)));
}

function executedMs(task, body) {
  if (!task.assigned) return 0;
  return (task.finished >= task.assigned ? task.finished : Math.max(task.assigned, body.at ?? task.assigned)) - task.assigned;
}

const critical = (body) => body.critical.map((place) => body.tasks[place]);

function graphPanel(body, route) {
  return panel("Task graph", { id: "graph", wide: true, klass: "graph-panel", aside: h("span", { class: "key" }, h("i", { class: "swatch critical" }), "critical path") },
    graph(body, new Set(body.critical), route));
}

function timelinePanel(model, body, route, draw) {
  const { began, until } = frame(model, body);
  body.at = until;
  const path = new Set(body.critical);
  const [, wanted] = SHOWN[chosen.shown];
  const match = chosen.match.toLowerCase();
  const tasks = body.tasks.filter((task) => wanted(task, name("TaskStatus", task.status), path) && (!match || task.id.toLowerCase().includes(match) || task.agent.toLowerCase().includes(match)));
  const options = Object.entries(SHOWN).map(([key, [label, test]]) => [key, label, body.tasks.reduce((sum, task) => sum + test(task, name("TaskStatus", task.status), path), 0)]);
  const pick = (shown) => { chosen.shown = shown; draw(true); };
  const find = (text) => { chosen.match = text; draw(true); };
  return panel("Timeline", { id: "timeline-title", wide: true, aside: [choices("Tasks shown", options, chosen.shown, pick), search(chosen.match, "Filter by task or agent", find)] },
    timeline({ body, tasks, path, began, until, now: model.now, over: Boolean(body.run.finished_at_ns), draw, route }),
    body.tasks_total > body.tasks.length && h("p", { class: "empty" }, `The first ${body.tasks.length} of ${tasksOf(body.run.counts)} tasks are shown.`));
}
