// What was told last of each topic that is viewed.

import { ms } from "./words.js";

const LINES_MAX = 500;
const RATES_MAX = 60;

export class Model {
  constructor() {
    this.namespace = "default";
    this.topics = [];
    this.told = new Map();
    this.standing = "connecting";
    this.why = "";
    this.skew = null;
    this.rates = [];
    this.build = document.querySelector("meta[name=build]").content;
  }

  /** What is viewed from now on. What was told of it before is shown until there is something newer. */
  view(namespace, topics) {
    if (namespace !== this.namespace) {
      this.told.clear();
      this.rates = [];
      this.skew = null;
    }
    this.namespace = namespace;
    this.topics = topics;
    for (const topic of this.told.keys()) {
      if (!topics.includes(topic) && topic !== "view=overview") this.told.delete(topic);
    }
  }

  take(frame) {
    const before = this.told.get(frame.topic);
    if (frame.kind === "change") {
      if (!before || before.kind === "fault") return "";
      merge(before.body, frame.body);
      before.sequence = frame.sequence;
    } else {
      if (frame.body.moving) frame.body.tasks = joined(frame.body);
      this.told.set(frame.topic, { kind: frame.kind, body: frame.body, sequence: frame.sequence });
    }
    if (frame.now_ns) this.skew = ms(frame.now_ns) - performance.now();
    if (frame.topic === "view=overview" && frame.kind === "whole") {
      this.count(frame.sequence);
      if (frame.body.about.build !== this.build) return "another build";
    }
    return "";
  }

  /** The body of a topic; undefined while nothing was told. */
  body(topic) {
    const found = this.told.get(topic);
    return found && found.kind !== "fault" ? found.body : undefined;
  }

  /** Why there is nothing to show of a topic. */
  fault(topic) {
    const found = this.told.get(topic);
    return found && found.kind === "fault" ? found.body : "";
  }

  get overview() {
    return this.body("view=overview")?.overview;
  }

  get about() {
    return this.body("view=overview")?.about;
  }

  get sequence() {
    return Math.max(0, ...[...this.told.values()].map((each) => each.sequence));
  }

  /** The namespace's time, in milliseconds since 1970. */
  get now() {
    return this.skew === null ? Date.now() : performance.now() + this.skew;
  }

  /** Whether anything that is shown changes with time alone. */
  moving() {
    const orchestrations = this.overview?.orchestrations;
    return !orchestrations || orchestrations.runs_active > 0 || orchestrations.lock_requests_waiting > 0 || this.rate() > 0;
  }

  count(sequence) {
    const last = this.rates.at(-1);
    const at = performance.now();
    if (last && sequence < last.sequence) this.rates = [];
    this.rates.push({ at, sequence });
    if (this.rates.length > RATES_MAX) this.rates.shift();
  }

  /** Events a second, over the last ten. */
  rate() {
    const at = performance.now();
    const recent = this.rates.filter((each) => each.at > at - 10_000);
    if (recent.length < 2) return 0;
    const first = recent[0];
    const last = recent.at(-1);
    return ((last.sequence - first.sequence) * 1000) / Math.max(1000, at - first.at);
  }
}

function merge(body, change) {
  if (change.lines) {
    body.lines = [...body.lines, ...change.lines].slice(-LINES_MAX);
    body.passed_over += change.passed_over;
    return;
  }
  const { moved, ...head } = change;
  Object.assign(body, head);
  for (const [place, moving] of moved) put(body.tasks[place], moving);
}

function joined(body) {
  return body.fixed.map(([id, target, group, depends_on, after, priority], place) =>
    put({ place, id, target, group, depends_on, after, priority }, body.moving[place]),
  );
}

function put(task, [status, attempts, ready, assigned, finished, agent, fraction, said, error, token]) {
  return Object.assign(task, {
    status,
    attempts,
    ready: ms(ready),
    assigned: ms(assigned),
    finished: ms(finished),
    agent,
    fraction,
    said,
    error,
    token,
  });
}
