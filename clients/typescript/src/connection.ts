/** The way to a coordinator: channels with keepalive, unary calls with retry, server streams. */
import * as grpc from "@grpc/grpc-js";
import { Addresses, unreached } from "./addresses.js";
import { Backoff } from "./backoff.js";
import { type Caller, type CallOptions, complete, RequestIds, type Responses } from "./caller.js";
import { bearer, Tls, type TlsOptions, type TokenSource } from "./credentials.js";
import { DeadlineExceeded, FeatureMissing, InvalidArgument, Unauthenticated, Unavailable } from "./errors.js";
import {
  BACKOFF_MS_MAX,
  CALL_MS_DEFAULT,
  KEEPALIVE_PING_MS,
  KEEPALIVE_TIMEOUT_MS,
  MESSAGE_BYTES_MAX,
  RETRY_MS_DEFAULT,
} from "./limits.js";
import type { Method } from "./methods.js";
import { fromServiceError } from "./status.js";
import { sleep } from "./time.js";
import { currentTraceparent } from "./tracing.js";

/** Where coordinators are when nothing else is said. */
export const ADDRESS_DEFAULT = "127.0.0.1:7420";

/** Where a coordinator is and how it is talked to. Plain values, since a worker thread is given them; but for functions. */
export interface ConnectionOptions {
  /** `host:port`, or several, of which one is tried after the other: replicas of one coordinator. */
  address?: string | readonly string[];
  /** "default" when left out. */
  namespace?: string;
  /** Goes with every call. */
  metadata?: Readonly<Record<string, string>>;
  /** Encrypts; `true` trusts the certificates of the system. */
  tls?: boolean | TlsOptions;
  /** Goes with every call. Refused in plain text beyond this machine. */
  token?: TokenSource;
  /** How long a call may take that does not say otherwise; 60 s when left out. */
  callMs?: number;
  /** How long a call that is UNAVAILABLE is tried again, under one request id; 30 s when left out. */
  retryMs?: number;
}

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  "grpc.keepalive_time_ms": KEEPALIVE_PING_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
  // Retries are ours, under one request id; and the back-off of one client's connection is not another's.
  "grpc.enable_retries": 0,
  "grpc.use_local_subchannel_pool": 1,
};

const identity = (bytes: Buffer) => bytes;
/** The same bytes, so that parts of them are no Buffers either. */
const plain = ({ buffer, byteOffset, length }: Buffer) => new Uint8Array(buffer, byteOffset, length);

/** One that calls share, and the credentials of its connections. */
interface Channel {
  readonly address: string;
  readonly client: grpc.Client;
  readonly madeWith: grpc.ChannelCredentials | undefined;
}

/** Calls to one coordinator in one namespace. */
export class Connection implements Caller {
  readonly lockIdentity = "";
  readonly namespace: string;
  readonly callMs: number;
  readonly retryMs: number;
  readonly #addresses: Addresses;
  readonly #requestIds = new RequestIds();
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #tls: Tls | undefined;
  readonly #bearer: { readonly credentials?: grpc.CallCredentials };
  readonly #shared = new Map<string, Channel>();

  /** Throws InvalidArgument. */
  constructor(options: ConnectionOptions = {}) {
    this.#addresses = new Addresses(options.address ?? ADDRESS_DEFAULT);
    this.namespace = options.namespace ?? "";
    this.callMs = options.callMs ?? CALL_MS_DEFAULT;
    this.retryMs = options.retryMs ?? RETRY_MS_DEFAULT;
    this.#metadata = options.metadata ?? {};
    this.#tls = options.tls ? new Tls(options.tls === true ? {} : options.tls) : undefined;
    this.#bearer = options.token === undefined ? {} : { credentials: bearer(options.token) };
    if (options.token !== undefined && this.#tls === undefined && !this.#addresses.areLocal) {
      throw new InvalidArgument(
        `a token is not sent to ${this.addresses.join(", ")} in plain text: give TLS, as \`tls\``,
      );
    }
  }

  get place(): string {
    return `${this.addresses.join()}/${this.namespace}`;
  }

  /** All of them. */
  get addresses(): readonly string[] {
    return this.#addresses.all;
  }

  /** The address that is tried now. */
  get address(): string {
    return this.#addresses.current;
  }

  /** Tries the next address from now on, or with certificates that were renewed: nobody answered at this one. */
  leave(address: string): void {
    this.#addresses.leave(address);
    for (const channel of this.#shared.values()) if (channel.madeWith !== this.#tls?.credentials()) this.#drop(channel);
  }

  /** A channel of its own to the present address, to be closed by whoever asked for it. */
  openChannel(credentials = this.#tls?.credentials()): grpc.Client {
    const options = { ...CHANNEL_OPTIONS };
    if (this.#tls === undefined || credentials === undefined) {
      return new grpc.Client(this.address, grpc.credentials.createInsecure(), options);
    }
    const { serverName } = this.#tls;
    if (serverName !== undefined) {
      options["grpc.ssl_target_name_override"] = serverName;
      options["grpc.default_authority"] = serverName;
    }
    return new grpc.Client(this.address, credentials, options);
  }

  /** How a call is made beside its metadata. */
  get callOptions(): grpc.CallOptions {
    return this.#bearer;
  }

  /** What goes with a call. */
  callMetadata(): grpc.Metadata {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(this.#metadata)) metadata.set(key, value);
    const traceparent = currentTraceparent();
    if (traceparent !== "") metadata.set("traceparent", traceparent);
    return metadata;
  }

  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): Promise<Response> {
    complete(method, request, this.namespace, this.#requestIds);
    const encoded = Buffer.from(method.request.encode(request).finish());
    const deadline = performance.now() + (options.timeoutMs ?? this.callMs);
    let retryUntil = performance.now() + this.retryMs;
    const backoff = new Backoff();
    for (;;) {
      const begun = performance.now();
      const left = deadline - begun;
      if (left <= 0) throw new DeadlineExceeded(`${method.name} was not answered in time`);
      let refusal: Unavailable;
      try {
        return method.response.decode(await this.#unary(method.path, encoded, left, options.signal));
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        refusal = error;
      }
      const now = performance.now();
      if (now - begun > BACKOFF_MS_MAX) {
        // It had been accepted: a new outage, a new window.
        backoff.reset();
        retryUntil = now + this.retryMs;
      }
      const pause = backoff.pauseMs(refusal.retryAfterMs);
      if (now + pause > Math.min(retryUntil, deadline)) throw refusal;
      await sleep(pause, options.signal);
    }
  }

  stream<Request, Response>(method: Method<Request, Response>, request: Request): Responses<Response> {
    complete(method, request, this.namespace, this.#requestIds);
    const { address } = this;
    const encoded = Buffer.from(method.request.encode(request).finish());
    const { client, madeWith } = this.#channel();
    const call = client.makeServerStreamRequest(
      method.path,
      identity,
      identity,
      encoded,
      this.callMetadata(),
      this.callOptions,
    );
    call.on("error", () => {}); // Whoever reads is told; after `close` nobody reads.
    const frames = call[Symbol.asyncIterator]();
    return {
      next: async () => {
        try {
          const frame = await frames.next();
          return frame.done ? undefined : method.response.decode(plain(frame.value as Buffer));
        } catch (error) {
          throw this.explain(error, address, method.name, madeWith);
        }
      },
      close: () => call.cancel(),
    };
  }

  onLost(_lost: () => void): () => void {
    return () => {}; // Nothing to lose without a session.
  }

  /** Closes the channels; calls that wait for one are UNAVAILABLE. */
  close(): void {
    for (const channel of this.#shared.values()) this.#drop(channel);
  }

  /**
   * The error that a failed call of `what` is, with what to do when nobody was there. A caller who is not known by the certificate that the
   * connection was made with may be by one that was renewed since: that is Unavailable.
   */
  explain(error: unknown, address: string, what: string, madeWith?: grpc.ChannelCredentials): unknown {
    if (!isServiceError(error)) return error;
    const explained = fromServiceError(error);
    if (explained instanceof Unauthenticated && madeWith !== undefined && this.#tls?.credentials() !== madeWith) {
      this.leave(address);
      return new Unavailable(`the connection to ${address} was made with a certificate that was renewed since`, {
        cause: explained,
      });
    }
    if (explained instanceof FeatureMissing) {
      return new FeatureMissing(`the coordinator at ${address} does not know ${what}: upgrade it`, {
        cause: explained,
      });
    }
    if (!(explained instanceof Unavailable)) return explained;
    this.leave(address);
    return explained.detail("google.rpc.ErrorInfo") === undefined ? unreached(address, explained) : explained;
  }

  #channel(): Channel {
    const { address } = this;
    let channel = this.#shared.get(address);
    if (channel === undefined) {
      const madeWith = this.#tls?.credentials();
      channel = { address, client: this.openChannel(madeWith), madeWith };
      this.#shared.set(address, channel);
    }
    return channel;
  }

  #drop({ address, client }: Channel): void {
    client.close();
    this.#shared.delete(address);
  }

  /** The error of a call that its caller did not cancel: what a coordinator that shuts down cancels is UNAVAILABLE. */
  #dropped(error: grpc.ServiceError, address: string): Unavailable {
    this.leave(address);
    return new Unavailable(`the coordinator at ${address} dropped the call`, { cause: fromServiceError(error) });
  }

  #unary(path: string, request: Buffer, leftMs: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const { address } = this;
      const { client, madeWith } = this.#channel();
      const options = { ...this.callOptions, ...(Number.isFinite(leftMs) && { deadline: Date.now() + leftMs }) };
      const call = client.makeUnaryRequest(
        path,
        identity,
        identity,
        request,
        this.callMetadata(),
        options,
        (error, response) => {
          signal?.removeEventListener("abort", onAbort);
          if (signal?.aborted) reject(signal.reason);
          else if (error?.code === grpc.status.CANCELLED) reject(this.#dropped(error, address));
          else if (error) reject(this.explain(error, address, path, madeWith));
          else resolve(plain(response ?? Buffer.alloc(0)));
        },
      );
      const onAbort = () => call.cancel();
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && typeof (error as grpc.ServiceError).code === "number" && "metadata" in error;
}
