// The page: what is told, where one is, and the document made like that, at most a few times a second.

import { render } from "./dom.js";
import { Model } from "./model.js";
import { here, to, withAsked } from "./route.js";
import { Stream } from "./stream.js";
import { learn } from "./words.js";
import { shell } from "./shell.js";
import { explainPanel } from "./explain.js";
import { now } from "./view_now.js";
import { runs } from "./view_runs.js";
import { run } from "./view_run.js";
import { agents } from "./view_agents.js";
import { locks } from "./view_locks.js";
import { state } from "./view_state.js";
import { events } from "./view_events.js";
import { shortcuts } from "./keys.js";
import { begin as beginActing, learnWho, settle } from "./acting.js";

const VIEWS = { now, runs, run, agents, locks, state, events };
const FRAME_MS = 120;
const REST = 4; // After drawing for so long, this many times as long for everything else.
const CLOCK_MS = 500;

const model = new Model();
const stream = new Stream(
  (frame) => {
    if (model.take(frame) === "another build") location.reload();
    draw();
  },
  (standing, why) => {
    if (model.standing === standing && model.why === why) return;
    if (standing === "live") learnWho(model.namespace, model.standing === "lost");
    model.standing = standing;
    model.why = why;
    draw();
  },
);

let drawn = 0;
let took = 0;
let arrived = false;
let pending = 0;

/** Draws soon; at once when somebody did something. */
export function draw(atOnce = false) {
  if (pending && !atOnce) return;
  cancelAnimationFrame(pending);
  const wait = atOnce ? 0 : Math.max(0, Math.max(FRAME_MS, took * REST) - (performance.now() - drawn));
  const paint = () => {
    pending = 0;
    drawn = performance.now();
    const route = here();
    const view = VIEWS[route.view];
    render(document.getElementById("app"), shell(model, route, view.content(model, route, draw), explainPanel(model, route)));
    settle();
    document.title = `${view.title(model, route)} · Concert`;
    if (arrived) {
      arrived = false;
      window.scrollTo(0, 0);
      document.getElementById("main").focus({ preventScroll: true });
    }
    took = performance.now() - drawn;
  };
  if (wait) pending = setTimeout(() => (pending = requestAnimationFrame(paint)), wait);
  else pending = requestAnimationFrame(paint);
}

function arrive() {
  const route = here();
  const topics = ["view=overview", ...VIEWS[route.view].topics(route)];
  if (route.asked.x) topics.push(`view=explain&${route.asked.x}`);
  const viewed = [...new Set(topics)];
  const before = model.place;
  model.view(route.asked.ns || "default", viewed);
  stream.view(model.namespace, viewed);
  learnWho(model.namespace);
  const place = `${route.view}/${route.id}`;
  arrived = before !== undefined && before !== place;
  model.place = place;
  draw(true);
}

async function begin() {
  const theme = localStorage.getItem("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    document.documentElement.dataset.theme = localStorage.getItem("theme") || (dark.matches ? "dark" : "light");
    draw();
  };
  document.documentElement.dataset.theme = theme || (dark.matches ? "dark" : "light");
  dark.addEventListener("change", paint);
  for (let known = false; !known;) {
    try {
      learn(await (await fetch("words")).json());
      known = true;
    } catch {
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
  window.addEventListener("hashchange", arrive);
  beginActing(draw);
  shortcuts({
    go: (view) => (location.hash = to(view)),
    close: () => here().asked.x && (location.hash = withAsked({ x: "" })),
    draw,
  });
  arrive();
  setInterval(() => model.standing === "live" && model.moving() && draw(), CLOCK_MS);
}

begin();
