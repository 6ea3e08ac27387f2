// Runs: all that are known, the active ones first.

import { h } from "./dom.js";
import { empty, panel, search, settled, someOf, waiting } from "./parts.js";
import { withAsked } from "./route.js";
import { runRow } from "./view_now.js";

const topic = (route) => `view=runs&${new URLSearchParams({ match: route.asked.match ?? "" })}`;

export const runs = {
  topics: (route) => [topic(route)],
  title: () => "Runs",
  content(model, route) {
    const found = model.body(topic(route));
    return panel("Runs", { id: "runs", aside: [found && someOf(found.shown.length, found.total, "run"), search(route.asked.match ?? "", "Filter by name or id", (match) => settled(() => location.replace(withAsked({ match }))))], wide: true },
      !found ? waiting(model, topic(route), "runs")
        : found.shown.length ? h("ul", { class: "rows tall", "data-steps": "rows" }, found.shown.map((each) => runRow(model, each)))
          : empty(route.asked.match ? "No run is called that." : "No run was submitted yet. concert run submit submits one."));
  },
};
