/** Where coordinators are: one address or several, of which one that does not answer is left for the next. */
import { type ConcertError, InvalidArgument, Unavailable } from "./errors.js";

const CURES: readonly (readonly [RegExp, string])[] = [
  [/altname|host(name)? .*match/i, "its certificate is one of another name: give `tls.serverName`"],
  [
    /certificate|self.signed|unable to verify/i,
    "its certificate is not trusted: give `tls.ca` with the root certificate",
  ],
  [/wrong version number|handshake|EPROTO|ssl/i, "the TLS handshake failed: does it listen without TLS?"],
  [/ECONNREFUSED/i, "nothing listens there: is a coordinator running, and is this its address?"],
  [/ENOTFOUND|EAI_AGAIN|name resolution/i, "the name does not resolve: is this its address?"],
  [/ECONNRESET|socket hang up|protocol error/i, "it hung up: does it listen with TLS, or is something else there?"],
];

/** At least one HOST:PORT. All of them serve the same. */
export class Addresses {
  readonly all: readonly string[];
  #turn = 0;

  /** Throws InvalidArgument when there is none. */
  constructor(given: string | readonly string[]) {
    this.all = typeof given === "string" ? [given] : [...given];
    if (this.all.length === 0 || this.all.includes("")) {
      throw new InvalidArgument("an address is HOST:PORT, and there is at least one");
    }
  }

  /** The one in use. */
  get current(): string {
    return this.all[this.#turn % this.all.length] as string;
  }

  /** Goes on with the next one, unless somebody has already. */
  leave(address: string): void {
    if (address === this.current) this.#turn++;
  }
}

/** The error of a coordinator that was not reached, with what to do about it. */
export function unreached(address: string, error: ConcertError): Unavailable {
  const cure = CURES.find(([word]) => word.test(error.message))?.[1];
  const words =
    cure === undefined ? `${address}: ${error.message}` : `${address} was not reached: ${cure} (${error.message})`;
  return new Unavailable(words, { reason: "", details: error.details, cause: error });
}
