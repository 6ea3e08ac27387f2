/** Who this client is and whom it trusts: certificates for the channel, bearer tokens for the calls. */
import { readFileSync, statSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import { ConcertError, InvalidArgument } from "./errors.js";
import { say } from "./log.js";

/** How the channel is encrypted. What is a string or bytes is PEM; files are read again for new connections once they have changed. */
export interface TlsOptions {
  /** Whose certificates are trusted; those of the system when left out. */
  ca?: string | Uint8Array;
  caFile?: string;
  /** This client's certificate with its chain, and its key, where the coordinator asks for one: mutual TLS. */
  cert?: string | Uint8Array;
  certFile?: string;
  key?: string | Uint8Array;
  keyFile?: string;
  /** The name that the coordinator's certificate has to be for, where that is not the address. */
  serverName?: string;
}

/**
 * A bearer token, the file that has it (read again once it has changed), or what gives the one that is valid now. A function is asked for
 * every call and every stream, so it should remember its answer. When it throws the call is Unauthenticated; a ConcertError keeps its code,
 * so that what is Unavailable is tried again.
 */
export type TokenSource = string | { readonly file: string } | (() => string | Promise<string>);

/** TLS with what the options name. */
export class Tls {
  readonly #options: TlsOptions;
  #version: string | undefined;
  #credentials: grpc.ChannelCredentials | undefined;

  /** Throws InvalidArgument for files that cannot be used. */
  constructor(options: TlsOptions) {
    this.#options = options;
    this.credentials();
  }

  get serverName(): string | undefined {
    return this.#options.serverName;
  }

  /** For a new connection; the same object until a file has changed. Files that cannot be used change nothing: they may be half written. */
  credentials(): grpc.ChannelCredentials {
    const version = this.#versionNow();
    if (this.#credentials !== undefined && version === this.#version) return this.#credentials;
    const { ca, caFile, cert, certFile, key, keyFile } = this.#options;
    try {
      this.#credentials = grpc.credentials.createSsl(pem(ca, caFile), pem(key, keyFile), pem(cert, certFile));
      this.#version = version;
    } catch (error) {
      if (this.#credentials === undefined) throw new InvalidArgument(`no TLS: ${say(error)}`, { cause: error });
    }
    return this.#credentials;
  }

  #versionNow(): string {
    const { caFile, certFile, keyFile } = this.#options;
    return [caFile, certFile, keyFile].map((each) => (each === undefined ? 0 : changedAt(each))).join();
  }
}

/** Puts a token into the metadata of every call. */
export function bearer(source: TokenSource): grpc.CallCredentials {
  const ask = typeof source === "function" ? source : typeof source === "string" ? () => source : follow(source.file);
  return grpc.credentials.createFromMetadataGenerator((_call, callback) => {
    new Promise<string>((resolve) => resolve(ask())).then(
      (token) => {
        const metadata = new grpc.Metadata();
        metadata.set("authorization", `Bearer ${token}`);
        callback(null, metadata);
      },
      (error) => {
        const code = error instanceof ConcertError ? error.code : "UNAUTHENTICATED";
        const said = new Error(`there is no token: ${say(error)}`);
        callback(Object.assign(said, { code: grpc.status[code as keyof typeof grpc.status] }));
      },
    );
  });
}

function follow(file: string): () => string {
  let known = 0;
  let token = "";
  return () => {
    const changed = changedAt(file);
    if (changed !== known || changed === 0) {
      token = readFileSync(file, "utf8").trim();
      known = changed;
    }
    return token;
  };
}

/** When a file was changed last; 0 when it is not there. */
function changedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function pem(text: string | Uint8Array | undefined, file: string | undefined): Buffer | null {
  if (file !== undefined) return readFileSync(file);
  return text === undefined ? null : Buffer.from(text as string);
}
