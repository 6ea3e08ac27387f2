// Agents: what each executes, its load and its circuits, and what was counted of each name.

import { actButton } from "./acting.js";
import { h } from "./dom.js";
import { empty, mark, panel, search, settled, someOf, taskWhy, waiting, why } from "./parts.js";
import { withAsked } from "./route.js";
import { slots } from "./view_now.js";
import { ms, name, percent, plain, span } from "./words.js";

const topic = (route) => `view=agents&${new URLSearchParams({ match: route.asked.match ?? "" })}`;

const STAYS = ["ATTACHED", "DETACHED"];

export const agents = {
  topics: (route) => [topic(route)],
  title: () => "Agents",
  content(model, route) {
    const found = model.body(topic(route));
    return h("div", { class: "grid" },
      panel("Agents", { id: "agents", aside: [found && someOf(found.shown.length, found.total, "agent"), search(route.asked.match ?? "", "Filter by id or name", (match) => settled(() => location.replace(withAsked({ match }))))], wide: true },
        !found ? waiting(model, topic(route), "agents")
          : found.shown.length ? h("ul", { class: "cards" }, found.shown.map((each) => card(model, each)))
            : empty(route.asked.match ? "No agent is called that." : "No agent has connected yet.")),
      roles(model));
  },
};

function card(model, each) {
  const word = name("AgentStatus", each.status);
  return h("li", { key: each.agent_id, class: `card a-${word}` },
    h("header", null, why({ agent_id: each.agent_id }, each.agent_id, { class: "what" }), h("span", { class: `pill a-${word}` }, h("i", { class: "dot" }), plain(word))),
    h("p", { class: "dim" }, each.agent_name !== each.agent_id && `${each.agent_name} · `, each.capabilities.join(", ") || "no capabilities"),
    h("div", { class: "load" }, slots(each), h("span", null, `${each.running}/${each.slots} slots`), each.locks > 0 && h("span", { class: "dim" }, `${each.locks} locks`), h("span", { class: "space" }), h("span", { class: "dim" }, `${word === "DISCONNECTED" ? "gone" : "there"} for ${span(model.now - ms(each.since_ns))}`)),
    each.attempts.length > 0 && h("ul", { class: "attempts" }, each.attempts.map((one) => h("li", { key: `${one.run_id}/${one.task_id}` },
      mark(one.cancelling ? "CANCELLING" : "RUNNING"), taskWhy(one.run_id, one.task_id), h("time", null, span(model.now - ms(one.since_ns))),
      (one.fraction > 0 || one.message) && h("div", { class: "progress" }, h("i", { style: { width: `${Math.min(1, one.fraction) * 100}%` } }), h("span", { class: "dim" }, one.message)))),
    each.running > each.attempts.length && h("li", { class: "dim" }, `and ${each.running - each.attempts.length} more`)),
    each.circuits.length > 0 && h("ul", { class: "circuits" }, each.circuits.map((one) => circuit(model, one))),
    STAYS.includes(word) && actButton("drain", each, "Drain", `Drain ${each.agent_id}`));
}

function circuit(model, one) {
  const word = name("CircuitStatus", one.status);
  const left = ms(one.until_ns) - model.now;
  return h("li", { key: one.capability, class: `circuit k-${word}` }, h("span", { class: "type" }, `circuit ${plain(word)}`), one.capability,
    h("span", { class: "dim" }, `${one.failures} failures${word === "OPEN" && left > 0 ? ` · ${span(left)} left` : ""}${one.trial_token ? ` · trial #${one.trial_token}` : ""}`));
}

function roles(model) {
  const shown = (model.overview?.roles ?? []).filter((each) => each.executions);
  if (!shown.length) return null;
  const cells = ["Name", "Attempts", "Failed", "Waited", "Executed", "p50", "p99"];
  return panel("By name, since the log began", { id: "roles", wide: true },
    h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Figures by agent name" }, h("table", null,
      h("thead", null, h("tr", null, cells.map((cell) => h("th", { key: cell, scope: "col" }, cell)))),
      h("tbody", null, shown.map((each) => h("tr", { key: each.agent_name },
        h("th", { scope: "row" }, each.agent_name), h("td", null, each.executions.toLocaleString("en")),
        h("td", { class: each.failures ? "s-FAILED" : "" }, each.failures ? `${each.failures} (${percent(each.failures / Math.max(1, each.successes + each.failures))})` : "0"),
        h("td", null, span(ms(each.waiting_ns))), h("td", null, span(ms(each.executing_ns))), h("td", null, span(ms(each.executing_p50_ns))), h("td", null, span(ms(each.executing_p99_ns)))))))));
}
