/**
 * The session: commands multiplexed over a Connect stream that is opened anew and resumed for as long as the lease lasts.
 *
 * Theory of operation. Every command is written once and stays among the `Commands`, in order, until its reply is here. Whatever is ready
 * when the stream can be written goes out as one frame. When the stream breaks, a new one is opened with the session id; after its Welcome
 * everything pending is sent again, in order, under the same request ids, which the coordinator recognises.
 *
 * When the lease is gone (see lease.ts), or the coordinator says that the session is over, `SessionOver` is the answer to everything
 * pending and to come, and whoever registered with `onLost` is called. A session is never reopened: its attempts and locks are gone;
 * begin another.
 */
import { randomBytes } from "node:crypto";
import { Backoff } from "./backoff.js";
import { type Caller, type CallOptions, RequestIds, type Responses } from "./caller.js";
import { type Answer, type Asked, type Command, Commands } from "./commands.js";
import type { Connection } from "./connection.js";
import {
  ConcertError,
  DeadlineExceeded,
  FeatureMissing,
  InternalError,
  SessionOver,
  StaleAttempt,
  Unavailable,
} from "./errors.js";
import { FrameStream } from "./frame_stream.js";
import type { AgentSpec } from "./generated/concert/v1/agent.js";
import { AcquireResponse, ReleaseRequest } from "./generated/concert/v1/lock_service.js";
import { Goodbye, Hello, type Welcome } from "./generated/concert/v1/session_service.js";
import { Status } from "./generated/google/rpc/status.js";
import { Lease } from "./lease.js";
import {
  CLOSE_MS_MAX,
  FEATURE_LEVEL,
  FEATURE_LEVEL_MIN,
  FRAME_BYTES_MAX,
  GOODBYE_REASON_BYTES_MAX,
  HEARTBEATS_PER_LEASE,
  LEASE_SHARE,
  RECONNECT_JITTER_MS_MAX,
  SESSION_LEASE_MS_DEFAULT,
  SILENT_STREAM_SHARE,
  WELCOME_MS_MAX,
} from "./limits.js";
import { message } from "./message.js";
import { ACQUIRE, GOODBYE, type Method, RELEASE } from "./methods.js";
import { clip } from "./payload.js";
import { NO_PEER, type SessionPeer } from "./session_peer.js";
import { fromStatus } from "./status.js";
import { Deferred, fromDuration, settlesWithin, sleep, toDuration } from "./time.js";
import { currentTraceparent } from "./tracing.js";
import { isTransientForSession, retryAfterMs } from "./transience.js";
import { encodeFrame, encodeHeartbeat, encodeHello, framedSize, type Incoming } from "./wire.js";

const ERROR_FIELD = 2; // Of Reply.

/** How long the session is asked for, and who takes its tasks. */
export interface SessionSettings {
  /** 2 s to 5 min. */
  leaseMs?: number;
  takeover?: boolean;
  peer?: SessionPeer;
}

/** An open stream with the coordinator's Welcome, and what has come since. */
interface OpenStream {
  readonly frames: FrameStream;
  readonly welcome: Welcome;
  readonly first: Incoming[];
  readonly helloSentAt: number;
}

/** A session, seen from the client. */
export class SessionStream implements Caller {
  readonly lockIdentity = `session/${randomBytes(8).toString("hex")}`;
  sessionId = 0n;
  agentId: string;
  logId = "";
  leaseMs: number;
  featureLevel = 0;
  limits: Readonly<Record<string, bigint>> = {};
  /** Whether the session was given up on this side, and may still stand on the other. */
  expired = false;

  readonly #connection: Connection;
  #spec: AgentSpec;
  readonly #takeover: boolean;
  readonly #peer: SessionPeer;
  readonly #requestIds = new RequestIds();
  /** The Hello that opens the session is said again under it until a Welcome is heard. */
  #helloId = this.#requestIds.next();
  readonly #commands = new Commands(() => this.#wake());
  readonly #lease = new Lease(() => this.#expire());
  readonly #stop = new AbortController();
  readonly #ended = new Deferred<SessionOver>();
  readonly #lostCallbacks = new Set<() => void>();
  readonly #heartbeats = new Map<bigint, number>();
  #frames: FrameStream | undefined;
  #writing = false;
  #woken = false;
  #heartbeatDue = false;
  #nonce = 0n;
  #answeredAt = 0;
  #over: SessionOver | undefined;
  #broken = new Deferred<ConcertError | undefined>();
  #drained = new Deferred<void>();
  #runner: Promise<void> = Promise.resolve();

  get place(): string {
    return this.#connection.place;
  }

  constructor(connection: Connection, spec: AgentSpec, settings: SessionSettings = {}) {
    this.#connection = connection;
    this.#spec = spec;
    this.agentId = spec.agentId;
    this.leaseMs = settings.leaseMs ?? SESSION_LEASE_MS_DEFAULT;
    this.#takeover = settings.takeover ?? false;
    this.#peer = settings.peer ?? NO_PEER;
  }

  // ---- life

  /** Opens the session. Throws AlreadyExists when an agent lives under the id, Unavailable after `retryMs`. */
  async open(): Promise<void> {
    const retryUntil = performance.now() + this.#connection.retryMs;
    const backoff = new Backoff();
    for (;;) {
      try {
        const stream = await this.#openStream();
        this.#adopt(stream);
        this.#runner = this.#keepOpen(stream);
        return;
      } catch (error) {
        if (!(error instanceof ConcertError)) throw error;
        const endedUnheard = error instanceof SessionOver && this.#over === undefined;
        if (endedUnheard) this.#helloId = this.#requestIds.next();
        const pause = backoff.pauseMs(retryAfterMs(error));
        if (!(endedUnheard || isTransientForSession(error)) || performance.now() + pause > retryUntil) throw error;
        await sleep(pause, this.#stop.signal);
      }
    }
  }

  /** What Hello will say of the agent from now on; UpdateAgent says it to the session that there is. */
  describe(spec: AgentSpec): void {
    this.#spec = spec;
    this.#helloId = this.#requestIds.next();
  }

  /** Why the session is over; undefined while it lives. */
  get over(): SessionOver | undefined {
    return this.#over;
  }

  /** Waits until the session is over and says why. */
  waitOver(): Promise<SessionOver> {
    return this.#ended.promise;
  }

  /** Says Goodbye, waiting at most 5 s for the answer, and ends the session. */
  async close(reason = "closed"): Promise<void> {
    if (this.#over === undefined && this.sessionId !== 0n) {
      const goodbye = message(Goodbye, { reason: clip(reason, GOODBYE_REASON_BYTES_MAX) });
      await settlesWithin(this.call(GOODBYE, goodbye), CLOSE_MS_MAX);
    }
    this.#end(new SessionOver("the session was closed"));
    await this.#runner;
  }

  /** Ends the session on this side only, as a crash would; the coordinator ends it when its lease runs out. */
  async abandon(): Promise<void> {
    this.#end(new SessionOver("the session was abandoned"));
    await this.#runner;
  }

  /** Breaks the stream, as the network would; the session opens another. */
  breakStream(): void {
    this.#broken.resolve(undefined);
  }

  /** See Caller. Also called when the session is closed while something still relies on it. */
  onLost(lost: () => void): () => void {
    if (this.#over !== undefined) queueMicrotask(lost);
    else this.#lostCallbacks.add(lost);
    return () => this.#lostCallbacks.delete(lost);
  }

  // ---- calls

  get retryMs(): number {
    return this.#connection.retryMs;
  }

  /**
   * See Caller. Over the stream when it can travel there, else as an rpc. Throws SessionOver. Without a time-out the session is the bound:
   * either a reply comes or the session ends.
   */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions & { retryMs?: number } = {},
  ): Promise<Response> {
    if (method.commandField === 0) return this.#connection.call(method, request, options);
    const asked = writeRequest(method, request, this.#requestIds, currentTraceparent());
    return readAnswer(method, await this.ask(asked, options));
  }

  /** See Caller. */
  stream<Request, Response>(method: Method<Request, Response>, request: Request): Responses<Response> {
    return this.#connection.stream(method, request);
  }

  /** The same as `call`, of what is written already. */
  async ask(asked: Asked, options: CallOptions & { retryMs?: number } = {}): Promise<Answer> {
    const retryMs = options.retryMs ?? this.retryMs;
    let retryUntil = 0;
    let backoff: Backoff | undefined;
    for (;;) {
      const command = await this.#commands.add(asked);
      let refusal: Unavailable;
      try {
        return await awaited(command, options);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        refusal = error;
      }
      if (backoff === undefined) {
        backoff = new Backoff();
        retryUntil = performance.now() + retryMs;
      }
      const pause = backoff.pauseMs(refusal.retryAfterMs);
      if (performance.now() + pause > retryUntil) throw refusal;
      await sleep(pause, options.signal);
    }
  }

  // ---- streams

  async #openStream(): Promise<OpenStream> {
    const first: Incoming[] = [];
    const opened = new Deferred<void>();
    const { address } = this.#connection;
    const frames = new FrameStream(this.#connection, {
      onMessages: (messages) => {
        first.push(...messages);
        opened.resolve();
      },
      onEnd: (error) => opened.reject(error),
    });
    const onStop = () => opened.reject(this.#over ?? new SessionOver("the session is over"));
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    const helloSentAt = performance.now();
    frames.write(encodeFrame([encodeHello(this.#hello())]), () => {});
    try {
      if (!(await settlesWithin(opened.promise, WELCOME_MS_MAX)))
        throw new Unavailable("Hello was not answered in time");
      await opened.promise;
      const welcome = first.shift();
      if (welcome?.kind !== "welcome") throw new InternalError("the coordinator did not answer Hello with Welcome");
      checkLevel(welcome.welcome.featureLevel, address);
      if (performance.now() >= helloSentAt + (fromDuration(welcome.welcome.lease) || this.leaseMs) * LEASE_SHARE)
        throw new Unavailable(`${address}: Hello was answered so late that the lease may be over`);
      return { frames, welcome: welcome.welcome, first, helloSentAt };
    } catch (error) {
      frames.close();
      throw error;
    } finally {
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  #hello(): Hello {
    return message(Hello, {
      namespace: this.#connection.namespace,
      agent: { ...this.#spec, agentId: this.agentId },
      sessionId: this.sessionId,
      takeover: this.#takeover && this.sessionId === 0n,
      featureLevel: FEATURE_LEVEL,
      lease: toDuration(this.leaseMs),
      attemptTokens: this.sessionId === 0n ? [] : [...this.#peer.attemptTokens()],
      requestId: this.sessionId === 0n ? this.#helloId : "",
    });
  }

  /** Makes a stream the one that carries the session, and has everything pending sent again. */
  #adopt({ frames, welcome, first, helloSentAt }: OpenStream): void {
    if (this.sessionId !== 0n && (!welcome.resumed || welcome.sessionId !== this.sessionId)) {
      frames.close();
      throw new SessionOver("the coordinator began another session instead of resuming this one");
    }
    this.sessionId = welcome.sessionId;
    this.agentId = welcome.agentId;
    this.logId = welcome.logId;
    this.featureLevel = welcome.featureLevel;
    this.limits = welcome.limits;
    this.leaseMs = fromDuration(welcome.lease) || this.leaseMs;
    for (const token of welcome.staleAttemptTokens) {
      this.#commands.forgetAttempt(token, new StaleAttempt("the attempt no longer counts"));
      this.#peer.onStale(token);
    }
    this.#heartbeats.clear();
    this.#heartbeatDue = false;
    this.#frames = frames;
    this.#writing = false;
    this.#broken = new Deferred();
    this.#drained = new Deferred();
    this.#answeredAt = performance.now();
    this.#lease.renew(helloSentAt, this.leaseMs);
    this.#commands.sendAgain();
    const broken = this.#broken;
    for (const each of first) this.#receive(each);
    frames.listen({ onMessages: (messages) => this.#receiveAll(messages), onEnd: (error) => broken.resolve(error) });
  }

  async #keepOpen(opened: OpenStream): Promise<void> {
    let stream = opened;
    try {
      for (;;) {
        const successor = await this.#carry(stream);
        stream = successor ?? (await this.#reopen());
        if (this.#over !== undefined) {
          stream.frames.close();
          return;
        }
        this.#adopt(stream);
      }
    } catch (error) {
      this.#end(error instanceof SessionOver ? error : new SessionOver(describeError(error), { cause: error }));
    }
  }

  async #reopen(): Promise<OpenStream> {
    const backoff = new Backoff();
    for (;;) {
      if (this.#over !== undefined) throw this.#over;
      try {
        return await this.#openStream();
      } catch (error) {
        if (!(error instanceof ConcertError) || !isTransientForSession(error)) throw error;
        await this.#pause(backoff.pauseMs(retryAfterMs(error)));
      }
    }
  }

  /** Until the stream breaks (undefined) or, after a Drain, another has taken its place (that one). */
  async #carry(stream: OpenStream): Promise<OpenStream | undefined> {
    const broken = this.#broken.promise;
    const beat = setInterval(() => this.#beat(), this.leaseMs / HEARTBEATS_PER_LEASE);
    this.#beat();
    const looking = { succeeding: false, given: false };
    const successor = this.#drained.promise.then(() => this.#succeed(looking));
    successor.catch(() => {});
    try {
      const first = await Promise.race([broken, successor.catch(() => broken)]);
      let next = isOpenStream(first) ? first : undefined;
      if (next === undefined && looking.succeeding && (await settlesWithin(successor, WELCOME_MS_MAX))) {
        next = await successor.catch(() => undefined); // What broke the stream may be the very one that takes its place.
      }
      looking.given = true;
      if (next !== undefined) return next;
      const error = await broken;
      if (error !== undefined && !isTransientForSession(error)) throw error;
      return undefined;
    } finally {
      clearInterval(beat);
      stream.frames.close();
      this.#frames = undefined;
    }
  }

  /** After a Drain that names a time, looks for a coordinator that takes the session over before the stream ends. */
  async #succeed(looking: { succeeding: boolean; given: boolean }): Promise<OpenStream> {
    const backoff = new Backoff();
    let pause = Math.random() * RECONNECT_JITTER_MS_MAX;
    for (;;) {
      await this.#pause(pause);
      if (looking.given) throw new Unavailable("another stream was opened meanwhile");
      looking.succeeding = true;
      try {
        const stream = await this.#openStream();
        if (looking.given) stream.frames.close();
        return stream;
      } catch (error) {
        // This stream still stands: keep it, try again.
        if (!(error instanceof ConcertError) || this.#over !== undefined) throw error;
        pause = backoff.pauseMs(retryAfterMs(error));
        looking.succeeding = false;
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, this.#stop.signal).catch(() => {});
    if (this.#over !== undefined) throw this.#over;
  }

  // ---- what goes out

  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      this.#flush();
    });
  }

  #flush(): void {
    const frames = this.#frames;
    if (frames === undefined || this.#writing) return;
    if (this.#commands.outgoing.length === 0 && !this.#heartbeatDue) return;
    this.#writing = true;
    frames.write(this.#nextFrame(), () => {
      if (this.#frames !== frames) return;
      this.#writing = false;
      this.#flush();
    });
  }

  #nextFrame(): Buffer {
    const { outgoing } = this.#commands;
    const messages = this.#heartbeatDue ? [this.#nextHeartbeat()] : [];
    let size = messages.reduce((sum, each) => sum + framedSize(each), 0);
    let count = 0;
    for (const each of outgoing) {
      size += framedSize(each);
      if (messages.length + count > 0 && size > FRAME_BYTES_MAX) break;
      count++;
    }
    messages.push(...outgoing.splice(0, count));
    return encodeFrame(messages);
  }

  // ---- what comes in

  #receiveAll(messages: Incoming[]): void {
    for (const each of messages) this.#receive(each);
  }

  #receive(incoming: Incoming): void {
    switch (incoming.kind) {
      case "reply":
        this.#onReply(incoming.correlationId, incoming.field, incoming.outcome);
        return;
      case "heartbeatAck":
        this.#onHeartbeatAck(incoming.nonce);
        return;
      case "task":
        this.#peer.onTask(incoming.attemptToken, incoming.task);
        return;
      case "cancel":
        this.#peer.onCancel(incoming.cancel);
        return;
      case "drain":
        if (incoming.drain.reconnectBy !== undefined) this.#drained.resolve();
        else this.#peer.onDrain();
    }
  }

  #onReply(correlationId: bigint, field: number, outcome: Uint8Array): void {
    const command = this.#commands.take(correlationId);
    if (command === undefined) return;
    if (field === ERROR_FIELD) command.fail(fromStatus(Status.decode(outcome)));
    else {
      command.settle({ field, outcome });
      if (command.abandoned && command.asked.field === ACQUIRE.commandField) this.#giveBack(command, outcome);
    }
  }

  /** Releases locks that were granted after their caller had stopped waiting. */
  #giveBack(command: Command, outcome: Uint8Array): void {
    const fencingTokens = AcquireResponse.decode(outcome).grants.map((grant) => grant.fencingToken);
    const request = message(ReleaseRequest, { attemptToken: command.asked.attemptToken, fencingTokens });
    this.call(RELEASE, request).catch(() => {}); // They end with the session or the attempt at the latest.
  }

  // ---- the lease

  /** Has a heartbeat sent; gives the stream up when it has been silent for too long to be trusted. */
  #beat(): void {
    if (performance.now() - this.#answeredAt >= this.leaseMs * SILENT_STREAM_SHARE) this.#broken.resolve(undefined);
    else {
      this.#heartbeatDue = true;
      this.#wake();
    }
  }

  #nextHeartbeat(): Uint8Array {
    this.#heartbeatDue = false;
    this.#nonce++;
    this.#heartbeats.set(this.#nonce, performance.now());
    return encodeHeartbeat(this.#nonce);
  }

  #onHeartbeatAck(nonce: bigint): void {
    const sentAt = this.#heartbeats.get(nonce);
    if (sentAt === undefined) return;
    for (const older of this.#heartbeats.keys()) if (older <= nonce) this.#heartbeats.delete(older);
    this.#answeredAt = performance.now();
    this.#lease.renew(sentAt, this.leaseMs);
  }

  #expire(): void {
    this.expired = true;
    this.#end(new SessionOver("the lease ran out without a renewal being answered"));
  }

  #end(over: SessionOver): void {
    if (this.#over !== undefined) return;
    this.#over = over;
    this.#lease.stop();
    this.#commands.close(over.message);
    this.#stop.abort(over);
    this.#broken.resolve(over);
    const callbacks = [...this.#lostCallbacks];
    this.#lostCallbacks.clear();
    for (const lost of callbacks) lost();
    this.#ended.resolve(over);
  }
}

function checkLevel(featureLevel: number, address: string): void {
  if (featureLevel >= FEATURE_LEVEL_MIN) return;
  throw new FeatureMissing(
    `the coordinator at ${address} speaks feature level ${featureLevel} of the contract, and sessions need ` +
      `${FEATURE_LEVEL_MIN}: upgrade it`,
    { featureLevel },
  );
}

/** A request as a command carries it, completed with a request id. */
export function writeRequest<Request, Response>(
  method: Method<Request, Response>,
  request: Request,
  ids: RequestIds,
  traceparent: string,
): Asked {
  const fields = request as { requestId?: string; attemptToken?: bigint };
  if (method.namesRequest && fields.requestId === "") fields.requestId = ids.next();
  return {
    name: method.name,
    field: method.commandField,
    request: method.request.encode(request).finish(),
    attemptToken: fields.attemptToken ?? 0n,
    traceparent,
  };
}

/** The response in an answer. */
export function readAnswer<Request, Response>(method: Method<Request, Response>, answer: Answer): Response {
  if (answer.field !== method.replyField) {
    throw new FeatureMissing(`the coordinator does not know ${method.name} in a session: it is older than this client`);
  }
  return method.response.decode(answer.outcome);
}

async function awaited(command: Command, { timeoutMs, signal }: CallOptions): Promise<Answer> {
  if ((timeoutMs === undefined || timeoutMs === Number.POSITIVE_INFINITY) && signal === undefined)
    return command.answer;
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const given = new Promise<never>((_resolve, reject) => {
    if (timeoutMs !== undefined && timeoutMs < Number.POSITIVE_INFINITY) {
      const late = () => reject(new DeadlineExceeded(`${command.asked.name} was not answered in time`));
      timer = setTimeout(late, timeoutMs);
    }
    onAbort = () => reject(signal?.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([command.answer, given]);
  } catch (error) {
    command.abandoned = true;
    throw error;
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
  }
}

function isOpenStream(outcome: OpenStream | ConcertError | undefined): outcome is OpenStream {
  return outcome !== undefined && "frames" in outcome;
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof ConcertError && error.reason !== "" ? `${error.reason}: ${error.message}` : error.message;
}
