// Shared state: the keys that changed last, and conflicts, both sides side by side.

import { h } from "./dom.js";
import { ago, empty, panel, search, settled, someOf, waiting, why } from "./parts.js";
import { withAsked } from "./route.js";
import { clock, count, inline, ms, name, plain } from "./words.js";

const keys = (route) => `view=keys&${new URLSearchParams({ match: route.asked.match ?? "" })}`;
const CONFLICTS = "view=events&types=CONFLICT_DETECTED,CONFLICT_RESOLVED,COORDINATION_REQUIRED";
const CONFLICTS_SHOWN_MAX = 40;

export const state = {
  topics: (route) => [keys(route), CONFLICTS],
  title: () => "State",
  content(model, route) {
    const found = model.body(keys(route));
    return h("div", { class: "grid" },
      conflicts(model),
      panel("Shared state", { id: "keys", wide: true, aside: [found && someOf(found.shown.length, found.total, "key"), search(route.asked.match ?? "", "Filter by key", (match) => settled(() => location.replace(withAsked({ match }))))] },
        !found ? waiting(model, keys(route), "shared state")
          : found.shown.length ? table(model, found.shown) : empty(route.asked.match ? "No key is called that." : "Nothing was written yet.")));
  },
};

function table(model, shown) {
  return h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Keys of shared state" }, h("table", { class: "keys-table" },
    h("thead", null, h("tr", null, ["Key", "Value", "Revision", "Writer", "Changed"].map((cell) => h("th", { key: cell, scope: "col" }, cell)))),
    h("tbody", null, shown.map((each) => h("tr", { key: each.key },
      h("th", { scope: "row" }, each.key), h("td", null, h("code", null, inline(each.value))),
      h("td", null, why({ sequence: each.revision }, `#${each.revision}`)), h("td", null, each.writer || "the platform"), h("td", { class: "dim" }, ago(model, ms(each.updated_at_ns))))))));
}

function conflicts(model) {
  const lines = model.body(CONFLICTS)?.lines;
  if (!lines) return panel("Conflicts", { id: "conflicts", wide: true }, waiting(model, CONFLICTS, "conflicts"));
  const ends = new Map();
  for (const { detail } of lines) if (detail?.conflict_sequence) ends.set(detail.conflict_sequence, { ...ends.get(detail.conflict_sequence), ...detail });
  const met = lines.filter(({ detail }) => detail?.keys).slice(-CONFLICTS_SHOWN_MAX).reverse();
  return panel("Conflicts", { id: "conflicts", wide: true, aside: met.length ? count(met.length, "conflict") : null },
    met.length ? h("ul", { class: "conflicts" }, met.map((line) => conflict(line, ends.get(line.step.sequence)))) : empty("No two writers have met."));
}

function conflict({ step, detail }, end) {
  const strategy = plain(name("ConflictStrategy", detail.strategy));
  return h("li", { key: step.sequence, class: "conflict" },
    h("header", null, why({ sequence: step.sequence }, `#${step.sequence}`), h("span", { class: "type t-warn" }, plain(detail.kind)), h("span", { class: "dim" }, clock(ms(step.timestamp_ns), true)), h("span", { class: "space" }),
      end?.winner !== undefined && h("span", { class: "outcome" }, h("b", null, end.winner || "the first"), " stands", detail.strategy ? ` · ${strategy}` : "", end.action ? ` · ${end.target || detail.writer} is to ${plain(end.action)}` : "")),
    detail.keys.map((each) => h("div", { key: each.key, class: "sides" },
      side("There", each.their_writer || "another writer", each.their_key, each.current, [each.their_revision > 0 && why({ sequence: each.their_revision }, `revision #${each.their_revision}`), each.guarded_by && why({ resource: each.guarded_by }, `guarded by ${each.guarded_by}`)], end?.winner === each.their_writer),
      h("span", { class: "versus", "aria-hidden": "true" }, "⇄"),
      side("Attempted", detail.writer || "somebody", each.key, each.attempted, [`from revision #${detail.base_revision}`], end?.winner === detail.writer))),
    detail.keys_total > detail.keys.length && h("p", { class: "dim" }, `and ${detail.keys_total - detail.keys.length} more keys`));
}

function side(label, writer, key, value, notes, won) {
  return h("div", { class: `side ${won ? "won" : ""}` },
    h("p", null, h("small", null, label), h("b", null, writer)),
    h("p", { class: "key" }, key), h("pre", null, typeof value === "string" ? value : JSON.stringify(value, null, 1)),
    h("p", { class: "dim" }, notes.filter(Boolean).map((note, at) => [at ? " · " : "", note])));
}
