// Locks: who holds each, and who waits for it in which order.

import { actButton } from "./acting.js";
import { h } from "./dom.js";
import { empty, panel, party, search, settled, someOf, waiting, why } from "./parts.js";
import { withAsked } from "./route.js";
import { ms, name, plain, span } from "./words.js";

const topic = (route) => `view=locks&${new URLSearchParams({ match: route.asked.match ?? "" })}`;

export const locks = {
  topics: (route) => [topic(route)],
  title: () => "Locks",
  content(model, route) {
    const found = model.body(topic(route));
    return panel("Locks", { id: "locks", aside: [found && someOf(found.shown.length, found.total, "lock"), search(route.asked.match ?? "", "Filter by resource", (match) => settled(() => location.replace(withAsked({ match }))))], wide: true },
      !found ? waiting(model, topic(route), "locks")
        : found.shown.length ? h("ul", { class: "cards" }, found.shown.map((each) => lock(model, each)))
          : empty(route.asked.match ? "No lock that is held or waited for is called that." : "No lock is held or waited for."));
  },
};

function lock(model, each) {
  return h("li", { key: each.resource, class: `card lock ${each.waiters_total ? "contended" : ""}` },
    h("header", null, why({ resource: each.resource }, each.resource, { class: "what" }), each.mode !== null && h("span", { class: "tag" }, plain(name("LockMode", each.mode)))),
    h("h3", null, each.holders_total ? `Held by ${each.holders_total === 1 ? "" : each.holders_total}` : "Held by nobody"),
    h("ul", { class: "parties" }, each.holders.map((one) => h("li", { key: one.sequence, class: "holder" }, party(one), why({ sequence: one.sequence }, `#${one.sequence}`, { class: "dim" }), h("time", null, span(model.now - ms(one.since_ns))), releaseButton(each, one)))),
    each.waiters_total > 0 && h("h3", null, `${each.waiters_total} waiting`),
    each.waiters_total > 0 && h("ol", { class: "parties queue" }, each.waiters.map((one, at) => h("li", { key: `${one.sequence}-${one.run_id}-${one.task_id}` },
      h("span", { class: "turn" }, at + 1), party(one), name("LockMode", one.mode) === "SHARED" && h("span", { class: "tag" }, "shared"), one.detached && h("span", { class: "tag" }, "detached"), h("time", null, span(model.now - ms(one.since_ns))))),
    each.waiters.length < each.waiters_total && h("li", { class: "dim" }, `and ${each.waiters_total - each.waiters.length} more`)));
}

function releaseButton({ resource }, { holder, sequence, run_id, task_id }) {
  const who = task_id ? `${run_id}/${task_id}` : holder;
  return actButton("release", { resource, holder: who, sequence, isTask: Boolean(task_id) }, "Release", `Release ${resource}, held by ${who}`);
}
