// The task graph of a run, from left to right by groups: cards, or dots where there are many, or bars where there are
// very many.

import { h } from "./dom.js";
import { explaining } from "./route.js";
import { name, plain } from "./words.js";

const CARDS_MAX = 90;
const CARD_COLUMN_MAX = 14;
const DOTS_MAX = 2500;
const CARD = { width: 168, height: 38, across: 62, down: 14 };
const WORDS = { left: 43, width: CARD.width - 43 - 7, id: 12.5, sub: 10.5 }; // sizes of type as in parts.css
const LETTERS_MAX = 60;
const CARD_SCALE_MAX = 1.4;
const DOT = { size: 13, pitch: 17, rows: 22, across: 40 };
const EDGES_MAX = 1500;
let kept = { fixed: null, layout: null };

export function graph(body, path, route) {
  if (!body.tasks.length) return h("p", { class: "empty" }, "No task was added yet.");
  if (kept.fixed !== body.fixed) kept = { fixed: body.fixed, layout: layout(body.tasks) };
  const { layout: found } = kept;
  const picture = found.kind === "bars" ? barsOf(body, found) : nodesOf(body, found, path, route);
  return h("div", { class: `graph as-${found.kind}`, tabindex: "0", role: "region", "aria-label": `Task graph: ${body.tasks.length} tasks in ${found.columns.length} groups` }, picture);
}

function layout(tasks) {
  const columns = [];
  for (const task of tasks) (columns[task.group] ??= []).push(task.place);
  const filled = columns.filter(Boolean);
  const widest = Math.max(...filled.map((column) => column.length));
  if (tasks.length > DOTS_MAX) return { kind: "bars", columns: filled };
  untangle(filled, tasks);
  return tasks.length <= CARDS_MAX && widest <= CARD_COLUMN_MAX ? cards(filled, tasks) : dots(filled, tasks);
}

/** Puts each task near those it depends on, so that few lines cross. */
function untangle(columns, tasks) {
  const rank = new Map();
  const upstream = tasks.map((task) => [...task.depends_on, ...task.after]);
  const downstream = tasks.map(() => []);
  upstream.forEach((all, place) => all.forEach((each) => downstream[each].push(place)));
  const settle = (column) => column.forEach((place, at) => rank.set(place, at - column.length / 2));
  columns.forEach(settle);
  const sweep = (order, neighbours) => {
    for (const column of order) {
      const wish = new Map(column.map((place) => {
        const near = neighbours[place].filter((each) => rank.has(each));
        return [place, near.length ? near.reduce((sum, each) => sum + rank.get(each), 0) / near.length : rank.get(place)];
      }));
      column.sort((a, b) => wish.get(a) - wish.get(b) || a - b);
      settle(column);
    }
  };
  for (let pass = 0; pass < 3; pass += 1) {
    sweep(columns, upstream);
    sweep([...columns].reverse(), downstream);
  }
}

function cards(columns, tasks) {
  const widest = Math.max(...columns.map((column) => column.length));
  const height = widest * (CARD.height + CARD.down) - CARD.down;
  const at = new Map();
  columns.forEach((column, x) => {
    const top = (height - (column.length * (CARD.height + CARD.down) - CARD.down)) / 2;
    column.forEach((place, y) => at.set(place, { x: x * (CARD.width + CARD.across), y: top + y * (CARD.height + CARD.down) }));
  });
  return { kind: "cards", columns, at, size: CARD, width: columns.length * (CARD.width + CARD.across) - CARD.across, height, edges: edgesOf(tasks) };
}

function dots(columns, tasks) {
  const rows = Math.min(DOT.rows, Math.max(...columns.map((column) => column.length)));
  const at = new Map();
  let left = 0;
  for (const column of columns) {
    const deep = Math.min(rows, column.length);
    const top = ((rows - deep) * DOT.pitch) / 2;
    column.forEach((place, number) => at.set(place, { x: left + Math.floor(number / rows) * DOT.pitch, y: top + (number % rows) * DOT.pitch }));
    left += Math.ceil(column.length / rows) * DOT.pitch + DOT.across;
  }
  const size = { width: DOT.size, height: DOT.size };
  return { kind: "dots", columns, at, size, width: left - DOT.across, height: rows * DOT.pitch, edges: edgesOf(tasks) };
}

function edgesOf(tasks) {
  const edges = [];
  for (const task of tasks) {
    for (const each of task.depends_on) edges.push([each, task.place, ""]);
    for (const each of task.after) edges.push([each, task.place, "after"]);
  }
  return edges.length <= EDGES_MAX ? edges : [];
}

function nodesOf(body, found, path, route) {
  const { at, size, width, height } = found;
  const pad = 8;
  const follows = new Map(body.critical.map((place, number) => [place, body.critical[number - 1]]));
  const edges = found.edges.length ? found.edges : [...follows].filter(([, before]) => before !== undefined).map(([place, before]) => [before, place, ""]);
  const drawn = edges.map(([from, to, kind]) => {
    const a = at.get(from);
    const b = at.get(to);
    const [x1, y1, x2, y2] = [a.x + size.width, a.y + size.height / 2, b.x, b.y + size.height / 2];
    const bend = Math.max(14, (x2 - x1) / 2);
    const critical = follows.get(to) === from;
    const met = name("TaskStatus", body.tasks[from].status) === "SUCCEEDED";
    return h("path", { key: `${from}-${to}`, class: `edge ${kind} ${met ? "met" : ""} ${critical ? "critical" : ""}`, d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
  });
  const node = found.kind === "cards" ? card : dot;
  const grown = `${CARD_SCALE_MAX * (width + 2 * pad)}px`;
  return h("svg", { class: "dag", style: { "--grown": grown }, viewBox: `${-pad} ${-pad} ${width + 2 * pad} ${height + 2 * pad}`, width: width + 2 * pad, height: height + 2 * pad },
    h("g", { "aria-hidden": "true" }, drawn),
    body.tasks.map((task) => node(body, task, at.get(task.place), path, route)));
}

function linked(body, task, place, path, route, content) {
  const word = name("TaskStatus", task.status);
  const subject = { run_id: body.run.run_id, task_id: task.id };
  const chosen = route.asked.x === String(new URLSearchParams(subject));
  return h("a", { key: task.place, href: explaining(subject), class: `node s-${word} ${path.has(task.place) ? "on-path" : ""} ${chosen ? "chosen" : ""}`, transform: `translate(${place.x} ${place.y})`, "aria-label": `${task.id}: ${plain(word)}${path.has(task.place) ? ", on the critical path" : ""}` },
    h("title", null, `${task.id}: ${plain(word)}${task.agent ? ` · ${task.agent}` : ""}${task.error ? ` · ${task.error}` : ""}`), content(word));
}

const SIGNS = { SUCCEEDED: "M4 9l4 4 7-8", FAILED: "M5 5l9 9M14 5l-9 9", RUNNING: "M6 4v11l8-5.5z", READY: "M9.5 3.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M9.5 6v3.7l2.4 1.5", BACKING_OFF: "M14 9.5a4.5 4.5 0 1 1-1.5-3.3M12.6 3v3.4H9.2", SKIPPED: "M5 9.5h9", CANCELLED: "M5 9.5h9", PENDING: "M9.5 4.5a5 5 0 1 0 0 10 5 5 0 0 0 0-10", CANCELLING: "M6 6h7v7H6z" };

function card(body, task, place, path, route) {
  return linked(body, task, place, path, route, (word) => [
    h("rect", { class: "plate", width: CARD.width, height: CARD.height, rx: 9 }),
    h("rect", { class: `stripe f-${word}`, width: 4, height: CARD.height - 16, x: 8, y: 8, rx: 2 }),
    h("svg", { x: 18, y: 9.5, width: 19, height: 19, viewBox: "0 0 19 19", class: `mark s-${word}` }, h("path", { d: SIGNS[word] ?? SIGNS.PENDING })),
    h("svg", { x: WORDS.left, width: WORDS.width, height: CARD.height },
      h("text", { y: 16.5, class: "id" }, fitted(task.id, WORDS.id)),
      h("text", { y: 30, class: "sub" }, fitted(under(task, word), WORDS.sub))),
    word === "RUNNING" && h("rect", { class: "progress", x: 8, y: CARD.height - 4, width: Math.max(0, (CARD.width - 16) * (task.fraction || 0)), height: 2, rx: 1 }),
  ]);
}

function under(task, word) {
  if (word === "FAILED") return task.error || plain(word);
  if (word === "RUNNING") return task.said || task.agent || plain(word);
  return word === "SUCCEEDED" ? task.agent || plain(word) : `${plain(word)} · ${task.target}`;
}

const ruler = document.createElement("canvas").getContext("2d");

/** As much of a text as has room in a card. */
function fitted(text, size) {
  ruler.font = `${size}px ${getComputedStyle(document.documentElement).getPropertyValue("--ui")}`;
  const letters = [...text].slice(0, LETTERS_MAX);
  const cut = (most) => (most < [...text].length ? `${letters.slice(0, most).join("")}…` : text);
  let [least, most] = [0, letters.length];
  while (least < most) {
    const tried = Math.ceil((least + most) / 2);
    if (ruler.measureText(cut(tried)).width <= WORDS.width) least = tried;
    else most = tried - 1;
  }
  return cut(least);
}

function dot(body, task, place, path, route) {
  return linked(body, task, place, path, route, (word) => h("rect", { class: `cell f-${word}`, width: DOT.size, height: DOT.size, rx: 3.5 }));
}

/** A bar a group: how many of its tasks stand where. */
function barsOf(body, found) {
  const most = Math.max(...found.columns.map((column) => column.length));
  return h("ol", { class: "group-bars" }, found.columns.map((column, at) => {
    const counts = {};
    for (const place of column) {
      const word = name("TaskStatus", body.tasks[place].status);
      counts[word] = (counts[word] ?? 0) + 1;
    }
    const text = Object.entries(counts).map(([word, number]) => `${number.toLocaleString("en")} ${plain(word)}`).join(", ");
    return h("li", { key: at }, h("span", { class: "dim" }, `group ${at}`),
      h("div", { class: "counts-bar", style: { width: `${Math.max(2, (column.length / most) * 100)}%` } }, Object.entries(counts).map(([word, number]) => h("i", { key: word, class: `fill f-${word}`, style: { width: `${(number / column.length) * 100}%` } }))),
      h("span", null, text));
  }));
}
