// Explain: why something is as it is, what stands in its way, what led to it, and what followed.

import { h } from "./dom.js";
import { mark, taskWhy, waiting, why } from "./parts.js";
import { tone } from "./event_rows.js";
import { explaining, to, withAsked } from "./route.js";
import { clock, moment, ms, name, plain, span, traceOf } from "./words.js";

const full = { sequence: 0, text: "", asked: 0 };

export function explainPanel(model, route) {
  if (!route.asked.x) return null;
  const topic = `view=explain&${route.asked.x}`;
  const subject = Object.fromEntries(new URLSearchParams(route.asked.x));
  const found = model.body(topic)?.explanation;
  return h("aside", { class: "explain", role: "complementary", "aria-label": "Explanation", key: "explain" },
    h("header", null,
      h("div", null, h("small", { class: "dim" }, "Why"), h("h2", null, title(subject))),
      h("a", { class: "close", href: withAsked({ x: "" }), "aria-label": "Close the explanation" }, h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, h("path", { d: "M3.5 3.5l9 9M12.5 3.5l-9 9" })))),
    found ? told(model, subject, found) : waiting(model, topic, "the explanation"));
}

function title(subject) {
  if (subject.task_id) return [h("span", { class: "dim" }, `${subject.run_id}/`), subject.task_id];
  if (subject.sequence) return `Event #${subject.sequence}`;
  return subject.run_id ?? subject.resource ?? subject.agent_id;
}

function told(model, subject, found) {
  return [
    h("p", { class: "summary" }, found.summary),
    places(model, subject, found),
    found.waiting.length > 0 && h("section", null,
      h("h3", null, found.waiting.length < found.waiting_total ? `Waits (${found.waiting.length} of ${found.waiting_total})` : "Waits"),
      h("ul", { class: "waits" }, found.waiting.slice(0, 40).map((each, at) => wait(model, subject, each, at)))),
    found.causes.length > 0 && h("section", null, h("h3", null, "Because"), chain(model, found.causes),
      found.earlier_cause > 0 && h("p", { class: "dim" }, `Earlier: #${found.earlier_cause}`)),
    found.effects.length > 0 && h("section", null, h("h3", null, "What followed at once"), chain(model, found.effects)),
    subject.sequence && fullEvent(model, Number(subject.sequence)),
    h("p", { class: "dim true-at" }, `True at #${found.sequence}`),
  ];
}

/** Where else to look. */
function places(model, subject, found) {
  const trace = traceOf(found.causes[0]?.traceparent);
  const url = model.about?.trace_url;
  const asked = subject.agent_id ? { agent: subject.agent_id } : subject.run_id ? { run: subject.run_id, task: subject.task_id } : null;
  const first = found.causes[0];
  return h("p", { class: "links" },
    (subject.run_id || first?.run_id) && h("a", { class: "button quiet", href: to("run", subject.run_id || first.run_id) }, "Its run"),
    subject.resource && h("a", { class: "button quiet", href: to("locks", "", { match: subject.resource }) }, "The lock"),
    subject.agent_id && h("a", { class: "button quiet", href: to("agents", "", { match: subject.agent_id }) }, "The agent"),
    asked && h("a", { class: "button quiet", href: to("events", "", asked) }, "Its events"),
    trace && url && h("a", { class: "button quiet", href: url.replace("{trace_id}", trace), target: "_blank", rel: "noopener noreferrer" }, "Its trace"));
}

function wait(model, subject, each, at) {
  const own = (subject.task_id && each.task_id === subject.task_id) || (subject.agent_id && each.agent_id);
  return h("li", { key: at },
    !own && h("p", { class: "who" }, each.status !== null && mark(name("TaskStatus", each.status)), each.task_id ? taskWhy(each.run_id, each.task_id) : each.request_sequence ? why({ sequence: each.request_sequence }, each.holder) : each.run_id || each.agent_id,
      each.since_ns > 0 && h("time", null, span(model.now - ms(each.since_ns)))),
    h("ul", { class: "blockers" }, each.blockers.map((one, number) => blocker(model, one, number))),
    each.candidates.length > 0 && h("table", { class: "candidates" }, h("caption", null, "Agents that answer to its target"),
      h("tbody", null, each.candidates.map((one) => h("tr", { key: one.agent_id }, h("th", { scope: "row" }, why({ agent_id: one.agent_id }, one.agent_id)), h("td", null, one.text), h("td", null, `${one.attempts_running}/${one.slots}`))))));
}

function blocker(model, one, number) {
  const word = name("WaitKind", one.kind);
  const left = one.until_ns ? ms(one.until_ns) - model.now : 0;
  return h("li", { key: number },
    h("span", { class: `type w-${word}` }, plain(word)),
    h("span", { class: "text" }, one.text),
    h("span", { class: "links" },
      one.tasks.slice(0, 5).map((task) => taskWhy(task.run_id, task.task_id)),
      one.agents.slice(0, 5).map((agent) => why({ agent_id: agent }, agent)),
      one.resource && why({ resource: one.resource }, `lock ${one.resource}`),
      one.requests.slice(0, 3).map((request) => why({ sequence: request }, `request #${request}`)),
      left > 0 && h("time", null, `${span(left)} left`)));
}

function chain(model, steps) {
  return h("ol", { class: "chain" }, steps.map((step) => {
    const type = name("EventType", step.type);
    return h("li", { key: step.sequence },
      h("a", { href: explaining({ sequence: step.sequence }) }, h("span", { class: "seq" }, `#${step.sequence}`), h("span", { class: `type t-${tone(type)}` }, type)),
      h("span", { class: "text" }, step.text),
      h("small", { class: "dim", title: moment(ms(step.timestamp_ns)) }, [clock(ms(step.timestamp_ns), true), step.reason && plain(step.reason), step.principal && `by ${step.principal}`].filter(Boolean).join(" · ")));
  }));
}

function fullEvent(model, sequence) {
  if (full.sequence !== sequence) Object.assign(full, { sequence, text: "", asked: 0 });
  const load = async (event) => {
    if (!event.target.open || full.asked) return;
    full.asked = 1;
    const answer = await fetch(`event?${new URLSearchParams({ namespace: model.namespace, sequence })}`);
    if (full.sequence === sequence) full.text = JSON.stringify(await answer.json(), null, 2);
    const shown = document.getElementById("full-event");
    if (shown) shown.textContent = full.text;
  };
  return h("details", { class: "in-full", key: `full-${sequence}`, ontoggle: load }, h("summary", null, "The event in full"), h("pre", { id: "full-event", tabindex: "0" }, full.text || "…"));
}
