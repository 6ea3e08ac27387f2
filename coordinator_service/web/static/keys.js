// Keys: everything can be reached without a mouse.

import { h } from "./dom.js";

const GO = { 1: "now", 2: "runs", 3: "agents", 4: "locks", 5: "state", 6: "events" };
let shown = false;

export function shortcuts({ go, close, draw }) {
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(input|select|textarea)$/i.test(event.target.tagName);
    if (event.key === "Escape") {
      if (shown) shown = false;
      else if (typing) event.target.blur();
      else close();
      draw(true);
    } else if (typing) {
      return;
    } else if (GO[event.key]) {
      go(GO[event.key]);
    } else if (event.key === "/") {
      const field = document.querySelector("main input[type=search]");
      if (!field) return;
      event.preventDefault();
      field.focus();
    } else if (event.key === "?") {
      shown = !shown;
      draw(true);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      step(event);
    }
  });
}

/** Up and down go from one row of a list to the next. */
function step(event) {
  const list = event.target.closest?.("[data-steps]");
  if (!list || list.dataset.steps === "own") return;
  const rows = [...list.querySelectorAll("[data-row]")];
  const at = rows.indexOf(event.target.closest("[data-row]"));
  const next = rows[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

export function keysHelp() {
  if (!shown) return null;
  const rows = [
    ["1 … 6", "Now, Runs, Agents, Locks, State, Events"],
    ["/", "filter"],
    ["↑ ↓", "from row to row"],
    ["Enter", "explain the row"],
    ["Esc", "close what is open"],
    ["?", "this list"],
  ];
  return h("aside", { class: "keys", role: "dialog", "aria-label": "Keys" },
    h("h2", null, "Keys"),
    h("dl", null, rows.map(([key, does]) => [h("dt", null, h("kbd", null, key)), h("dd", null, does)])));
}
