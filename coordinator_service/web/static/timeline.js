// The timeline of a run: a row for each task, waiting and executing apart. Only the rows in sight are in the document.

import { h } from "./dom.js";
import { mark } from "./parts.js";
import { explaining } from "./route.js";
import { name, plain, span } from "./words.js";

const ROW = 30;
const OVERSCAN = 8;
const HEIGHT_MAX = 620;
const seen = { run: "", top: 0, at: 0 };

export function timeline({ body, tasks, path, began, until, now, over, draw, route }) {
  if (seen.run !== body.run.run_id) Object.assign(seen, { run: body.run.run_id, top: 0, at: 0 });
  const order = inOrder(tasks);
  const waits = new Map(body.waits.map((line) => [line.task_id, line.text]));
  const height = Math.min(HEIGHT_MAX, order.length * ROW);
  seen.at = Math.min(seen.at, Math.max(0, order.length - 1));
  seen.top = Math.min(seen.top, Math.max(0, order.length * ROW - height));
  const first = Math.max(0, Math.floor(seen.top / ROW) - OVERSCAN);
  const last = Math.min(order.length, Math.ceil((seen.top + height) / ROW) + OVERSCAN);
  const scale = { began, long: Math.max(1, (until - began) * (over ? 1 : 1.03)), now: over ? until : now };
  const rows = order.slice(first, last).map((task, at) => row(body, task, first + at, scale, path, waits, route));
  return h("div", { class: "timeline" },
    h("div", { class: "axis", "aria-hidden": "true" }, h("span"), h("div", { class: "ticks" }, ticks(scale.long).map(([at, label]) => h("i", { key: label, style: { left: `${at}%` } }, h("span", null, label))))),
    order.length === 0 && h("p", { class: "empty" }, "No task is like that."),
    h("div", { class: "scroll", role: "grid", "aria-label": "Tasks", "aria-rowcount": String(order.length), "data-steps": "own", style: { height: `${height}px` }, onscroll: (event) => { seen.top = event.target.scrollTop; draw(true); }, onkeydown: (event) => keys(event, order, draw) },
      h("div", { class: "sizer", role: "presentation", style: { height: `${order.length * ROW}px` } },
        !over && h("div", { class: "now-line", role: "presentation" }, h("i", { style: { left: `${((scale.now - began) / scale.long) * 100}%` } })),
        rows)));
}

/** By group, then by when they could begin. */
function inOrder(tasks) {
  return [...tasks].sort((a, b) => a.group - b.group || (a.assigned || Infinity) - (b.assigned || Infinity) || a.place - b.place);
}

function row(body, task, at, scale, path, waits, route) {
  const word = name("TaskStatus", task.status);
  const onPath = path.has(task.place);
  const chosen = route.asked.x === String(new URLSearchParams({ run_id: body.run.run_id, task_id: task.id }));
  return h("a", {
    key: task.place, class: `trow ${onPath ? "on-path" : ""} ${chosen ? "chosen" : ""}`, role: "row", "aria-rowindex": String(at + 1), "data-row": String(at), "data-task": task.id,
    tabindex: at === seen.at ? "0" : "-1", style: { transform: `translateY(${at * ROW}px)` },
    href: explaining({ run_id: body.run.run_id, task_id: task.id }), onfocus: () => { seen.at = at; },
  },
  h("span", { class: "task", role: "gridcell" }, mark(word), h("span", { class: "id", title: task.id }, task.id), onPath && h("span", { class: "hidden" }, " on the critical path")),
  h("span", { class: "track", role: "gridcell", "aria-label": said(task, word, scale, waits) }, bars(task, word, scale, onPath), label(task, word, scale, waits)));
}

/** Where a bar lies, in percent. */
function placed(from, to, scale) {
  const left = Math.max(0, ((from - scale.began) / scale.long) * 100);
  const right = Math.min(100, ((to - scale.began) / scale.long) * 100);
  return { left: `${left.toFixed(3)}%`, width: `${Math.max(0.12, right - left).toFixed(3)}%` };
}

function times(task, word, scale) {
  const executes = word === "RUNNING" || word === "CANCELLING";
  const waits = word === "READY" || word === "BACKING_OFF";
  const again = waits && task.attempts > 0;
  const began = task.assigned >= scale.began;
  const ready = Math.max(scale.began, Math.min(task.ready || scale.began, scale.now));
  return {
    waited: task.ready && (began || waits) ? [again ? Math.max(task.assigned, scale.began) : ready, waits ? scale.now : Math.max(ready, task.assigned)] : null,
    executed: began && !waits ? [task.assigned, executes ? scale.now : Math.max(task.finished, task.assigned)] : null,
  };
}

function bars(task, word, scale, onPath) {
  const { waited, executed } = times(task, word, scale);
  return [
    waited && waited[1] > waited[0] && h("i", { key: "w", class: "bar waited", style: placed(...waited, scale) }),
    executed && h("i", { key: "x", class: `bar executed f-${word} ${onPath ? "critical" : ""}`, style: placed(...executed, scale) },
      task.fraction > 0 && task.fraction < 1 && word === "RUNNING" && h("b", { style: { width: `${task.fraction * 100}%` } })),
  ];
}

/** What is written beside the bars, on the side where there is room. */
function label(task, word, scale, waits) {
  const { waited, executed } = times(task, word, scale);
  const [from, to] = executed ?? waited ?? [scale.began, scale.began];
  const share = (to - scale.began) / scale.long;
  const text = words(task, word, waits, executed);
  if (share > 0.62 && (from - scale.began) / scale.long > 0.38) {
    const begin = waited && waited[1] > waited[0] ? waited[0] : from;
    return h("span", { key: "l", class: `note left n-${word}`, style: { right: `${(100 - ((begin - scale.began) / scale.long) * 100).toFixed(2)}%` } }, text);
  }
  if (share > 0.62) return h("span", { key: "l", class: `note inside n-${word}`, style: { left: `${(((from - scale.began) / scale.long) * 100).toFixed(2)}%` } }, text);
  return h("span", { key: "l", class: `note n-${word}`, style: { left: `${(share * 100).toFixed(2)}%` } }, text);
}

function words(task, word, waits, executed) {
  const again = task.attempts > 1 ? `try ${task.attempts} · ` : "";
  if (word === "READY" || word === "BACKING_OFF") return again + (waits.get(task.id) ?? plain(word));
  if (word === "PENDING") return "";
  if (word === "FAILED" || word === "SKIPPED") return again + (task.error || plain(word));
  const long = executed ? span(executed[1] - executed[0]) : "";
  if (word === "RUNNING") return again + [long, task.agent, task.fraction > 0 && task.fraction < 1 ? `${Math.round(task.fraction * 100)} %` : "", task.said].filter(Boolean).join(" · ");
  return again + [long || plain(word), executed && task.agent].filter(Boolean).join(" · ");
}

function said(task, word, scale, waits) {
  const { waited, executed } = times(task, word, scale);
  const parts = [plain(word)];
  if (waited && waited[1] > waited[0]) parts.push(`waited ${span(waited[1] - waited[0])}`);
  if (executed) parts.push(`executed ${span(executed[1] - executed[0])}${task.agent ? ` by ${task.agent}` : ""}`);
  if (waits.has(task.id)) parts.push(waits.get(task.id));
  return parts.join(", ");
}

/** Round times along the axis, as many as a screen of this width has room for. */
function ticks(long) {
  const about = long / Math.max(3, Math.min(7, innerWidth / 110));
  const unit = 10 ** Math.floor(Math.log10(about));
  let step = [1, 2, 5, 10].map((times) => times * unit).find((each) => each >= about);
  if (about > 20_000) step = [30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000].find((each) => each >= about) ?? step;
  const found = [];
  for (let at = 0; at <= long * 0.94; at += step) found.push([(at / long) * 100, at === 0 ? "0" : tick(at)]);
  return found;
}

const tick = (at) => (at < 1000 ? `${Math.round(at)} ms` : at < 60_000 ? `${Number((at / 1000).toFixed(1))} s` : span(at));

/** Up, down, Home and End go from row to row, also to those that are not in the document yet. */
function keys(event, order, draw) {
  const to = { ArrowDown: seen.at + 1, ArrowUp: seen.at - 1, Home: 0, End: order.length - 1, PageDown: seen.at + 15, PageUp: seen.at - 15 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  seen.at = Math.max(0, Math.min(order.length - 1, to));
  const scroll = event.currentTarget;
  if (seen.at * ROW < scroll.scrollTop) scroll.scrollTop = seen.at * ROW;
  if ((seen.at + 1) * ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = (seen.at + 1) * ROW - scroll.clientHeight;
  seen.top = scroll.scrollTop;
  draw(true);
  requestAnimationFrame(() => requestAnimationFrame(() => scroll.querySelector(`[data-row="${seen.at}"]`)?.focus({ preventScroll: true })));
}
