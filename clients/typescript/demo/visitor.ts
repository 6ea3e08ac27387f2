/** A visitor of the site: reaches its name at the address where it is served, and trusts the site's authority, nothing else. */
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as tls from "node:tls";
import type { Site } from "./site.js";

const REQUEST_MS_MAX = 10_000;
const EXCHANGE_MS_MAX = 5_000;
const ANSWER_BYTES_MAX = 256 * 1024;
const REDIRECTS_MAX = 5;

/** What a server answered. `url` is where it was, redirects followed. */
export interface Answer {
  readonly url: string;
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** How something is asked for. */
export interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly follow?: boolean;
}

/** One that keeps its connections, as a browser does. */
export class Visitor {
  readonly #site: Site;
  readonly #secure: https.Agent;
  readonly #plain: http.Agent;
  readonly #signal: AbortSignal;

  constructor(site: Site, signal: AbortSignal, connectionsMax = 16) {
    this.#site = site;
    this.#signal = signal;
    const ca = authority(site);
    this.#secure = new https.Agent({ keepAlive: true, maxSockets: connectionsMax, ca, servername: site.domain });
    this.#plain = new http.Agent({ keepAlive: true, maxSockets: connectionsMax });
  }

  /** Asks, and follows redirects unless told not to. Throws when there is no answer. */
  async get(url: string, { method = "GET", headers = {}, follow = true }: Asking = {}): Promise<Answer> {
    let at = url;
    for (let left = REDIRECTS_MAX; ; left--) {
      const answer = await this.#ask(at, method, headers);
      const { location } = answer.headers;
      if (!follow || left === 0 || location === undefined || answer.status < 300 || answer.status > 399) return answer;
      at = new URL(location, at).href;
    }
  }

  /** What is there under a path of the release; undefined when there is nothing. */
  async body(url: string): Promise<Buffer | undefined> {
    try {
      const { status, body } = await this.get(url);
      return status === 200 ? body : undefined;
    } catch {
      this.#signal.throwIfAborted();
      return undefined;
    }
  }

  close(): void {
    this.#secure.destroy();
    this.#plain.destroy();
  }

  #ask(url: string, method: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const { protocol, hostname, pathname, search } = new URL(url);
    const { address, https_port, http_port } = this.#site.distribution;
    if (hostname !== this.#site.domain) return Promise.reject(new Error(`the zone does not know ${hostname}`));
    const secure = protocol === "https:";
    const options = {
      method,
      host: address,
      port: secure ? https_port : http_port,
      path: pathname + search,
      headers: { host: hostname, ...headers },
      timeout: REQUEST_MS_MAX,
      signal: this.#signal,
    };
    return new Promise((resolve, reject) => {
      const onAnswer = (response: http.IncomingMessage) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ url, status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
        );
      };
      const request = secure
        ? https.request({ ...options, agent: this.#secure }, onAnswer)
        : http.request({ ...options, agent: this.#plain }, onAnswer);
      request.on("timeout", () => request.destroy(new Error(`${url} was not answered in time`)));
      request.on("error", reject);
      request.end();
    });
  }
}

/** A TLS connection to the site. Throws when there is none. */
export function connected(site: Site, options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const { address, https_port } = site.distribution;
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: address, port: https_port, servername: site.domain, ...options });
    socket.setTimeout(EXCHANGE_MS_MAX, () => socket.destroy(new Error("no answer in time")));
    socket.once("secureConnect", () => resolve(socket));
    socket.once("error", reject);
  });
}

/**
 * One request exactly as written, over TLS: status and body. Status 400 when the server hung up without an answer, which is a way of
 * refusing.
 */
export async function exchange(site: Site, method: string, path: string): Promise<{ status: number; body: string }> {
  const socket = await connected(site, { ca: authority(site) });
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${site.domain}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  let answer = Buffer.alloc(0);
  await new Promise<void>((resolve) => {
    socket.on("data", (part: Buffer) => {
      answer = Buffer.concat([answer, part]);
      if (answer.length > ANSWER_BYTES_MAX) resolve();
    });
    socket.once("end", resolve);
    socket.once("close", () => resolve());
    socket.on("error", () => resolve());
    socket.write(head);
  });
  socket.destroy();
  const text = answer.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  const status = /^HTTP\/\d(?:\.\d)? (\d+)/.exec(text)?.[1];
  return status === undefined
    ? { status: 400, body: "" }
    : { status: Number(status), body: end < 0 ? "" : text.slice(end + 4) };
}

/** The one certificate that visitors of the site trust. */
export function authority({ certificate }: Site): Buffer {
  return readFileSync(certificate.authority_file);
}
