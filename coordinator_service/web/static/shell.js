// What is around every view: name, namespace, health, connection, theme, and the way to the views.

import { h } from "./dom.js";
import { outcome, principal, question } from "./acting.js";
import { keysHelp } from "./keys.js";
import { to } from "./route.js";
import { name, plain, short } from "./words.js";

const PLACES = [
  ["now", "Now", "M3 12h4l3-7 4 14 3-7h4"],
  ["runs", "Runs", "M4 6h9M8 12h12M14 18h6"],
  ["agents", "Agents", "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4 20c1-4 4-5 8-5s7 1 8 5"],
  ["locks", "Locks", "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3"],
  ["state", "State", "M5 6c0-3 14-3 14 0v12c0 3-14 3-14 0zM5 6c0 3 14 3 14 0M5 12c0 3 14 3 14 0"],
  ["events", "Events", "M5 5v14M5 7h6M5 12h14M5 17h9"],
];

export function shell(model, route, content, explain) {
  return h("div", { class: `page ${explain ? "with-panel" : ""}` },
    top(model),
    places(model, route),
    h("main", { id: "main", tabindex: "-1" }, banner(model), outcome(), content),
    explain,
    keysHelp(),
    question());
}

function top(model) {
  const about = model.about;
  return h("header", { class: "top" },
    h("a", { class: "brand", href: to("now"), "aria-label": "Concert, now" },
      h("svg", { viewBox: "0 0 32 32", "aria-hidden": "true" },
        h("path", { class: "b1", d: "M5 9h11" }), h("path", { class: "b2", d: "M11 16h14" }), h("path", { class: "b3", d: "M19 23h8" })),
      h("b", null, "Concert")),
    namespaces(model),
    h("span", { class: "space" }),
    spark(model),
    h("span", { class: "seq", title: "The last sequence of the log" }, `#${model.sequence.toLocaleString("en")}`),
    health(model, about),
    connection(model),
    principal() && h("span", { class: "pill me", title: "Who you are here" }, principal()),
    themes());
}

function namespaces(model) {
  const names = model.about?.namespaces ?? [];
  const shown = names.includes(model.namespace) ? names : [model.namespace, ...names];
  if (shown.length < 2) return h("span", { class: "namespace" }, model.namespace);
  return h("label", { class: "namespace" }, h("span", { class: "hidden" }, "Namespace"),
    h("select", { onchange: (event) => (location.hash = to("now", "", { ns: event.target.value })) },
      shown.map((each) => h("option", { key: each, value: each, selected: each === model.namespace }, each))));
}

function health(model, about) {
  if (!about) return null;
  const word = name("HealthStatus", about.status);
  const faults = Object.entries(about.faults).map(([part, why]) => `${part}: ${why}`);
  const window = model.overview?.health;
  const said = faults.join("; ") || (window ? `${window.failures} of ${window.events} events in five minutes are failures` : "");
  return h("span", { class: `pill health-${word}`, title: said, "aria-label": `Health: ${plain(word)}. ${said}` }, h("i", { class: "dot" }), plain(word));
}

function connection(model) {
  const words = { live: "live", connecting: "connecting", lost: "reconnecting" };
  return h("span", { class: `pill link-${model.standing}`, role: "status", "aria-live": "polite", title: model.why }, h("i", { class: "dot" }), words[model.standing]);
}

function banner(model) {
  const faults = Object.entries(model.about?.faults ?? {});
  return [
    model.standing === "lost" && h("p", { class: "banner", role: "alert", key: "lost" }, `Not connected: ${model.why}. What is shown is as it was; trying again.`),
    faults.length > 0 && h("p", { class: "banner", role: "alert", key: "faults" }, faults.map(([part, why]) => `${part}: ${why}`).join(" · ")),
  ];
}

/** Events a second, lately. */
function spark(model) {
  const points = model.rates;
  const rates = points.slice(1).map((each, at) => ((each.sequence - points[at].sequence) * 1000) / Math.max(1, each.at - points[at].at));
  const top = Math.max(1, ...rates);
  const path = rates.map((rate, at) => `${at ? "L" : "M"}${(100 - (rates.length - at) * (100 / 60)).toFixed(1)} ${(22 - (rate / top) * 20).toFixed(1)}`).join("");
  const rate = model.rate();
  const said = `${rate < 10 ? rate.toFixed(1) : short(Math.round(rate))} events/s`;
  return h("span", { class: "spark", title: said }, h("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, path && h("path", { d: path })), h("b", null, said));
}

function themes() {
  const dark = document.documentElement.dataset.theme !== "light";
  const change = () => {
    const theme = dark ? "light" : "dark";
    localStorage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
  };
  return h("button", { class: "theme", type: "button", "aria-label": `Use the ${dark ? "light" : "dark"} theme`, onclick: change },
    h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" },
      dark ? h("path", { d: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10M12 1v3M12 20v3M1 12h3M20 12h3M4 4l2 2M18 18l2 2M20 4l-2 2M6 18l-2 2" }) : h("path", { d: "M20 14A8 8 0 1 1 10 4a7 7 0 0 0 10 10z" })));
}

function places(model, route) {
  const counts = model.overview?.orchestrations;
  const badges = counts ? { runs: counts.runs_active, agents: counts.sessions, locks: counts.lock_requests_waiting } : {};
  const at = route.view === "run" ? "runs" : route.view;
  return h("nav", { class: "places", "aria-label": "Views" },
    PLACES.map(([view, label, icon]) =>
      h("a", { key: view, href: to(view), "aria-current": view === at ? "page" : null },
        h("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: icon })),
        h("span", null, label),
        badges[view] > 0 && h("b", { class: "badge" }, short(badges[view])))));
}
