/** Where coordinators are: one address or several, of which one that does not answer is left for the next. */
import { BlockList, isIP } from "node:net";
import { type ConcertError, InvalidArgument, Unavailable } from "./errors.js";

const CURES: readonly (readonly [RegExp, string])[] = [
  [/altname|host(name)? .*match/i, "its certificate is one of another name: give `tls.serverName`"],
  [
    /certificate|self.signed|unable to verify/i,
    "its certificate is not trusted: give `tls.ca` with the root certificate",
  ],
  [/wrong version number|handshake|EPROTO|ssl/i, "the TLS handshake failed: does it listen without TLS?"],
  [/last error: failed to connect/i, "it hangs up: does it want TLS, or a certificate of yours (`tls.certFile`)?"],
  [/ECONNREFUSED/i, "nothing listens there: is a coordinator running, and is this its address?"],
  [/ENOTFOUND|EAI_AGAIN|name resolution/i, "the name does not resolve: is this its address?"],
  [
    /ECONNRESET|socket hang up|protocol error/i,
    "it hung up: does it want TLS, or a certificate of yours, or is something else there?",
  ],
];

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

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

  /** Whether all are of this machine, so that nothing leaves it. */
  get areLocal(): boolean {
    return this.all.every(isLoopback);
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

function isLoopback(address: string): boolean {
  if (/^unix(-abstract)?:/.test(address)) return true;
  const host = address
    .replace(/^dns:\/*/, "")
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1");
  const version = isIP(host);
  return version === 0 ? host.toLowerCase() === "localhost" : LOOPBACK.check(host, version === 4 ? "ipv4" : "ipv6");
}

/** The error of a coordinator that was not reached, with what to do about it. */
export function unreached(address: string, error: ConcertError): Unavailable {
  const cure = CURES.find(([word]) => word.test(error.message))?.[1];
  const words =
    cure === undefined ? `${address}: ${error.message}` : `${address} was not reached: ${cure} (${error.message})`;
  return new Unavailable(words, { reason: "", details: error.details, cause: error });
}
