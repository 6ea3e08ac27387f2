/**
 * Looking at the site from outside, the way somebody would who means it no good. Each probe tries something real, and returns what it
 * found; nothing found means that it passed.
 */
import type { SecureVersion } from "node:tls";
import type { Finding, Site } from "./site.js";
import { authority, connected, exchange } from "./visitor.js";

const CERTIFICATE_DAYS_MIN = 14;
const DAY_MS = 24 * 60 * 60 * 1000;
// Signs that something outside the site was served, or a list of what is inside.
const LEAKS = ["root:", "PRIVATE KEY", '"token"', "[boot loader]"];
const LISTING_SIGNS = ["Index of /", "Directory listing for"];
const TRAVERSALS = [
  "/../../../../../../etc/passwd",
  "/..%2f..%2f..%2f..%2f..%2fetc/passwd",
  "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
  "/assets/..%2f..%2f..%2fauthority%2fauthority-key.pem",
  "/assets/../../../authority/authority-key.pem",
  "/..%5c..%5c..%5cboot.ini",
  "/%252e%252e/%252e%252e/etc/passwd",
  "//etc/passwd",
  "/posts/%00/../../../etc/passwd",
];
const LISTABLE = ["/assets/", "/tags/", "/images/", "/posts/leftover/"];
const HIDDEN = ["/.env", "/.git/config", "/assets/.htpasswd", "/%2eenv"];
const WRITING_METHODS = ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS"];
// Signature algorithms with broken hashes, as a certificate names them: md5 and sha1 with RSA, ECDSA with sha1.
const BROKEN_SIGNATURES = ["2a864886f70d010104", "2a864886f70d010105", "2a8648ce3d0401"];

/** TLS 1.0 and 1.1 have to be refused, and 1.2 or 1.3 accepted. */
export async function tlsVersions(site: Site): Promise<Finding[]> {
  const finding = (severity: string, what: string) => ({ severity, check: "tls_versions", where: site.url, what });
  const found: Finding[] = [];
  for (const version of ["TLSv1", "TLSv1.1"] as const) {
    if (await shakesHands(site, version)) found.push(finding("high", `accepts ${version}`));
  }
  const modern = [await shakesHands(site, "TLSv1.2"), await shakesHands(site, "TLSv1.3")];
  if (!modern.includes(true)) found.push(finding("critical", "accepts neither TLS 1.2 nor 1.3"));
  return found;
}

/** The certificate has to be trusted, for this name, strong, and good for some time yet. */
export async function certificate(site: Site): Promise<Finding[]> {
  const finding = (severity: string, what: string) => ({ severity, check: "certificate", where: site.url, what });
  try {
    const socket = await connected(site, { ca: authority(site) });
    const leaf = socket.getPeerX509Certificate();
    socket.destroy();
    if (leaf === undefined) return [finding("critical", "the site shows no certificate")];
    const found: Finding[] = [];
    const left = Math.floor((Date.parse(leaf.validTo) - Date.now()) / DAY_MS);
    if (left < CERTIFICATE_DAYS_MIN) found.push(finding("high", `ends in ${left} days`));
    const { modulusLength = Number.POSITIVE_INFINITY, namedCurve = "" } = leaf.publicKey.asymmetricKeyDetails ?? {};
    if (modulusLength < 2048 || /1[0-9]{2}|2[0-4]\d/.test(namedCurve))
      found.push(finding("high", "its key is too short"));
    const der = leaf.raw.toString("hex");
    if (BROKEN_SIGNATURES.some((oid) => der.includes(oid))) found.push(finding("high", "signed with a broken hash"));
    return found;
  } catch (error) {
    return [finding("critical", `no trusted connection: ${error instanceof Error ? error.message : error}`)];
  }
}

/** No path may lead out of the site, however it is written. Sent raw, since clients tidy such paths up. */
export async function traversal(site: Site): Promise<Finding[]> {
  return probed(TRAVERSALS, async (where) => {
    const { status, body } = await exchange(site, "GET", where);
    if (!(LEAKS.some((sign) => body.includes(sign)) || (status >= 200 && status < 300))) return undefined;
    return { severity: "critical", check: "traversal", where, what: `answered with ${status}` };
  });
}

/** Nobody may be shown what lies under a path. */
export async function listings(site: Site): Promise<Finding[]> {
  return probed(LISTABLE, async (where) => {
    const { status, body } = await exchange(site, "GET", where);
    if (status !== 200 || !LISTING_SIGNS.some((sign) => body.includes(sign))) return undefined;
    return { severity: "medium", check: "listings", where, what: "lists what is under it" };
  });
}

/** Hidden files are not for visitors, whether they are there or not. */
export async function dotfiles(site: Site): Promise<Finding[]> {
  return probed(HIDDEN, async (where) => {
    const { status } = await exchange(site, "GET", where);
    return status === 403
      ? undefined
      : { severity: "medium", check: "dotfiles", where, what: `answered with ${status}` };
  });
}

/** A site that is only read allows reading only. */
export async function methods(site: Site): Promise<Finding[]> {
  return probed(WRITING_METHODS, async (method) => {
    const { status, body } = await exchange(site, method, "/");
    if (status >= 400 && !(method === "TRACE" && body.includes("TRACE"))) return undefined;
    return { severity: "medium", check: "methods", where: `${method} /`, what: `answered with ${status}` };
  });
}

async function probed(
  each: readonly string[],
  probe: (one: string) => Promise<Finding | undefined>,
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const one of each) {
    const finding = await probe(one);
    if (finding !== undefined) found.push(finding);
  }
  return found;
}

/** One version only, trusting anybody: what is asked is the version, not the certificate. */
async function shakesHands(site: Site, version: SecureVersion): Promise<boolean> {
  // Without the ciphers our own library would refuse the old versions, and the server would be praised for it.
  const old = version === "TLSv1" || version === "TLSv1.1" ? { ciphers: "ALL:@SECLEVEL=0" } : {};
  try {
    const socket = await connected(site, {
      minVersion: version,
      maxVersion: version,
      rejectUnauthorized: false,
      ...old,
    });
    socket.destroy();
    return true;
  } catch {
    return false;
  }
}
