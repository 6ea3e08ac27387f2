// What may be done here, and doing it: offered to those who may, confirmed, sent once, and told how it went.

import { h } from "./dom.js";
import { explaining } from "./route.js";

const KNOWN_MS = 30_000;
const me = { namespace: "", principal: "", acts: [], token: "", learned: -Infinity };
let draw = () => {};
let asked = null;
let done = null;

export function begin(redraw) {
  draw = redraw;
}

export const principal = () => me.principal;

/** Who looks, and what that one is offered; asked again now and then, since roles change. */
export async function learnWho(namespace, anew = false) {
  if (!anew && me.namespace === namespace && performance.now() - me.learned < KNOWN_MS) return;
  if (me.namespace !== namespace) Object.assign(me, { acts: [], token: "" });
  Object.assign(me, { namespace, learned: performance.now() });
  try {
    const answer = await fetch(`me?${new URLSearchParams({ namespace })}`, { cache: "no-store" });
    const found = answer.ok ? await answer.json() : { principal: "", acts: [], token: "" };
    if (me.namespace !== namespace) return;
    const before = String(me.acts) + me.principal;
    Object.assign(me, found);
    if (String(me.acts) + me.principal !== before) draw();
  } catch {
    me.learned = -Infinity;
  }
}

/** What there is to do: the call, its request, and what is said of it. */
const ACTS = {
  cancel: (run) => ({
    call: "RunService/CancelRun",
    request: { runId: run.run_id },
    title: ["Cancel the run ", h("b", null, run.name || run.run_id), "?"],
    text: "What has not started is cancelled. What runs is told to stop, and is fenced after a grace. Tasks that succeeded stay as they are.",
    verb: "Cancel the run",
    keep: "Keep it running",
    did: `The run ${run.run_id} is being cancelled.`,
  }),
  retry: (run) => ({
    call: "RunService/RetryRun",
    request: { runId: run.run_id },
    title: ["Retry the run ", h("b", null, run.name || run.run_id), "?"],
    text: "Every task that did not succeed runs again, with fresh attempts and time-outs. Results that are there are kept.",
    verb: "Retry the run",
    keep: "Leave it",
    did: `The run ${run.run_id} is tried again.`,
    harmless: true,
  }),
  drain: (agent) => ({
    call: "AgentService/DrainAgent",
    request: { agentId: agent.agent_id },
    title: ["Drain the agent ", h("b", null, agent.agent_id), "?"],
    text: "It gets no new tasks, finishes those that it has, and leaves.",
    verb: "Drain the agent",
    keep: "Leave it",
    did: `The agent ${agent.agent_id} is draining.`,
  }),
  release: ({ resource, holder, sequence, isTask }) => ({
    call: "LockService/Release",
    request: { fencingTokens: [String(sequence)], force: true },
    title: ["Take the lock ", h("b", null, resource), " from its holder?"],
    text: `${holder} is fenced: nothing that it does under token #${sequence} counts any more${isTask ? ", and the attempt can only fail" : ""}. Who waits next has the lock at once.`,
    verb: "Take the lock",
    keep: "Leave it",
    did: `The lock ${resource} was taken from ${holder}.`,
  }),
};

/** A button that asks for something; nothing for those who are not offered it. One is never turned into another, so that
 * a focus does not come to stand on something else. */
export function actButton(act, subject, label, name) {
  const question = ACTS[act](subject);
  if (!me.acts.includes(question.call)) return null;
  return h("button", { key: act, class: "button act", type: "button", "aria-haspopup": "dialog", "aria-label": name, onclick: () => ask(question) }, label);
}

function ask(question) {
  // A repetition after a lost answer is the same request (its id), and so is done once.
  const id = [...crypto.getRandomValues(new Uint8Array(12))].map((each) => each.toString(16).padStart(2, "0")).join("");
  asked = { ...question, namespace: me.namespace, request: { ...question.request, requestId: `page-${id}` }, sending: false, fault: null };
  done = null;
  draw(true);
}

function dismiss() {
  document.querySelector("dialog.confirm")?.close(); // Gives the focus back to where it was.
  asked = null;
  draw(true);
}

async function confirm() {
  const question = asked;
  if (!question || question.sending) return;
  Object.assign(question, { sending: true, fault: null });
  draw(true);
  try {
    const answer = await send(question);
    done = { text: question.did, sequence: answer.sequence };
    if (asked === question) dismiss();
  } catch (fault) {
    Object.assign(question, { sending: false, fault });
    if (asked !== question) done = { text: fault.message, refused: true };
  }
  draw(true);
}

class Refused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

async function send({ call, namespace, request }) {
  for (let anew = false; ; anew = true) {
    let answer;
    let text;
    try {
      answer = await fetch(`call/${call}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-CSRF-Token": me.token },
        body: JSON.stringify({ namespace, ...request }),
      });
      text = await answer.text();
    } catch {
      throw new Refused("", "The coordinator does not answer. Whether it was done is not known; to try again does it once at most.");
    }
    const said = parsed(text);
    if (answer.ok) return said;
    const reason = said.details?.find((each) => each.reason)?.reason ?? "";
    if (answer.status === 401 || answer.status === 403) await learnWho(namespace, true);
    // Of a page that was loaded before the coordinator began anew, or long ago.
    if (reason === "PAGE_TOKEN" && !anew) continue;
    throw new Refused(reason, said.message ?? (text || answer.statusText));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** The question that is asked, over everything else. */
export function question() {
  if (!asked) return null;
  const shown = asked;
  const { title, text, verb, keep, harmless, sending, fault } = shown;
  const props = {
    class: "confirm",
    key: "confirm",
    "aria-labelledby": "confirm-title",
    "aria-describedby": "confirm-text",
    oncancel: (event) => { event.preventDefault(); dismiss(); },
    onclose: () => asked === shown && dismiss(), // By the browser itself, whatever was prevented.
  };
  return h("dialog", props,
    h("h2", { id: "confirm-title" }, title),
    h("p", { id: "confirm-text" }, text),
    fault && h("p", { class: "fault", role: "alert" }, fault.reason && [h("code", null, fault.reason), " "], fault.message),
    h("div", { class: "answers" },
      h("button", { class: "button quiet", type: "button", autofocus: true, onclick: dismiss }, fault ? "Close" : keep),
      h("button", { class: `button ${harmless ? "" : "danger"}`, type: "button", "aria-disabled": String(sending), onclick: confirm }, sending ? "Asking …" : fault ? "Try again" : verb)));
}

/** How the last act went. */
export function outcome() {
  const forget = () => { done = null; draw(true); };
  return h("div", { class: "outcome", role: "status", key: "outcome" },
    done && h("p", { class: `notice ${done.refused ? "refused" : ""}` }, h("span", null, done.text, " ", done.sequence && h("a", { href: explaining({ sequence: done.sequence }) }, `Event #${done.sequence}`)),
      h("button", { class: "button quiet", type: "button", "aria-label": "Close this message", onclick: forget }, "Close")));
}

/** After the document was made like what is told: a question that is new comes to the front. */
export function settle() {
  const shown = document.querySelector("dialog.confirm");
  if (shown && !shown.open) shown.showModal();
  if (!shown && done && document.activeElement === document.body) document.getElementById("main").focus({ preventScroll: true });
}
