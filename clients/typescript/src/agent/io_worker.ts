/**
 * The I/O thread: the sessions of hosted agents live here, so that their heartbeats go out however long a handler blocks the thread it runs
 * on. Agents' code never runs here.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Connection } from "../connection.js";
import { SessionOver } from "../errors.js";
import { AgentSpec } from "../generated/concert/v1/agent.js";
import { type Logger, setLogger } from "../log.js";
import { carry, uncarry } from "../status.js";
import { Deferred } from "../time.js";
import { type IoOptions, type Order, Outbox, type Word } from "./io_protocol.js";
import { AgentLink } from "./link.js";

const port = parentPort;
if (port === null) throw new Error("this module is the I/O thread's own");

const outbox = new Outbox<Word>((batch) => port.postMessage(batch));
const { asksForTokens = false, ...options } = workerData as IoOptions;
const tokens = new Map<number, Deferred<string>>();
let tokensAsked = 0;
const connection = new Connection(asksForTokens ? { ...options, token: askForToken } : options);
const links = new Map<number, AgentLink>();
const asking = new Map<number, AbortController>();

const logTo = (level: keyof Logger) => (message: string) => outbox.put({ tell: "log", level, message });
setLogger({ debug: logTo("debug"), info: logTo("info"), warn: logTo("warn"), error: logTo("error") });

port.on("message", (orders: Order[]) => {
  for (const order of orders) obey(order);
});

function obey(order: Order): void {
  switch (order.do) {
    case "host":
      host(order.agent, AgentSpec.decode(order.spec), order.leaseMs);
      return;
    case "ask":
      void ask(order);
      return;
    case "abandon":
      asking.get(order.id)?.abort();
      return;
    case "settle":
      links.get(order.agent)?.settle(order.attemptToken);
      return;
    case "proceed":
      links.get(order.agent)?.proceed();
      return;
    case "update":
      answer(order.id, linkOf(order.agent).update(AgentSpec.decode(order.spec)));
      return;
    case "drain":
      answer(order.id, linkOf(order.agent).drain());
      return;
    case "token":
      takeToken(order);
      return;
    case "stop":
      answer(order.id, linkOf(order.agent).stop(order.reason));
  }
}

function askForToken(): Promise<string> {
  const asked = ++tokensAsked;
  const given = new Deferred<string>();
  tokens.set(asked, given);
  outbox.put({ tell: "token", asked });
  return given.promise;
}

function takeToken({ asked, token, error }: Extract<Order, { do: "token" }>): void {
  const given = tokens.get(asked);
  tokens.delete(asked);
  if (error === undefined) given?.resolve(token ?? "");
  else given?.reject(uncarry(error));
}

function host(agent: number, spec: AgentSpec, leaseMs: number): void {
  const link = new AgentLink(connection, spec, leaseMs, {
    registered: (session, { sessionId, agentId }) =>
      outbox.put({ tell: "registered", agent, session, sessionId, agentId }),
    lost: (session, because) => outbox.put({ tell: "lost", agent, session, because }),
    ended: (error) => outbox.put({ tell: "ended", agent, error: error === undefined ? undefined : carry(error) }),
    task: (session, task) => outbox.put({ tell: "task", agent, session, task }),
    cancel: (attemptToken, reason, graceMs) => outbox.put({ tell: "cancel", agent, attemptToken, reason, graceMs }),
    drain: () => outbox.put({ tell: "drain", agent }),
  });
  links.set(agent, link);
  void link.run();
}

/** In the order of the orders: a session takes its commands up as they come. */
async function ask(order: Extract<Order, { do: "ask" }>): Promise<void> {
  const abandoned = new AbortController();
  asking.set(order.id, abandoned);
  const { timeoutMs, retryMs, asked } = order;
  try {
    const link = linkOf(order.agent);
    const options = {
      signal: abandoned.signal,
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(retryMs !== undefined && { retryMs }),
    };
    const answered = await link.session(order.session).ask(asked, options);
    if (order.settles) link.settle(asked.attemptToken);
    outbox.put({ tell: "answered", id: order.id, answer: answered });
  } catch (error) {
    outbox.put({ tell: "refused", id: order.id, error: carry(error) });
  } finally {
    asking.delete(order.id);
  }
}

function answer(id: number, done: Promise<void>): void {
  done.then(
    () => outbox.put({ tell: "answered", id, answer: undefined }),
    (error) => outbox.put({ tell: "refused", id, error: carry(error) }),
  );
}

function linkOf(agent: number): AgentLink {
  const link = links.get(agent);
  if (link === undefined) throw new SessionOver("the agent is not hosted");
  return link;
}
