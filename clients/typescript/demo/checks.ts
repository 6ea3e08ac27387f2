/** The work: four kinds of checks on the site as visitors get it, in parallel, and a score. */
import { createHash } from "node:crypto";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import type { HTMLElement } from "node-html-parser";
import { anchorsOf, needed, parsePage, references, releasePath } from "./pages.js";
import * as probes from "./probes.js";
import { secretsIn } from "./secrets.js";
import { type Content, type Finding, type LoadTimes, type Request, type Site, urlOf } from "./site.js";
import { Visitor } from "./visitor.js";

// Two at a time, so that what is measured is the site and not the queue in front of it.
const LOADS_AT_ONCE_MAX = 2;
const CONNECTIONS_A_PAGE_MAX = 6;
const GRAVE = new Set(["critical", "high"]);
const SECURITY_HEADERS = [
  "Content-Security-Policy",
  "Strict-Transport-Security",
  "X-Content-Type-Options",
  "X-Frame-Options",
  "Referrer-Policy",
  "Permissions-Policy",
  "Cross-Origin-Opener-Policy",
  "Cross-Origin-Resource-Policy",
];

/** What was found of the site. */
export interface Quality {
  readonly quality_score: number;
  readonly security_score: number;
  readonly checks_run: number;
  readonly checks_passed: number;
  readonly by_area: Readonly<Record<string, { readonly run: number; readonly passed: number }>>;
  readonly issues_found: readonly Finding[];
  readonly load_times: LoadTimes;
  readonly passed: boolean;
}

/** Counts the checks of one area and keeps what they found. */
class Area {
  readonly name: string;
  readonly issues: Finding[] = [];
  run = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** One check: `what` says what is wrong when it does not hold. */
  check(holds: boolean, where: string, what: string, severity = "high"): void {
    this.run++;
    if (!holds) this.issues.push({ severity, check: this.name, where, what });
  }

  get passed(): number {
    return this.run - this.issues.length;
  }
}

/** What is looked at, and what of it is asked for. */
export interface Subject {
  readonly site: Site;
  readonly content: Content;
  readonly request: Request;
  readonly securityScore: number | undefined;
}

/** Everything there is to say about the site. `passed` says whether it is good enough; nothing is thrown for it. */
export async function assure(subject: Subject, signal: AbortSignal, done: (step: string) => void): Promise<Quality> {
  const areas = {
    endpoints: new Area("endpoints"),
    content: new Area("content"),
    security: new Area("security"),
    performance: new Area("performance"),
  };
  const step = async <T>(name: string, work: Promise<T>) => {
    const result = await work;
    done(name);
    return result;
  };
  const [, , , load_times] = await Promise.all([
    step("endpoint testing", endpoints(subject, areas.endpoints, signal)),
    step("content validation", wholeness(subject, areas.content, signal)),
    step("security scanning", security(subject, areas.security, signal)),
    step("performance testing", performanceOf(subject, areas.performance, signal)),
  ]);
  scored(subject, areas.security);
  const all = Object.values(areas);
  const checks_run = all.reduce((sum, area) => sum + area.run, 0);
  const checks_passed = all.reduce((sum, area) => sum + area.passed, 0);
  const issues_found = all.flatMap((area) => area.issues).sort(inOrder);
  return {
    quality_score: Math.round((checks_passed / checks_run) * 10_000) / 10_000,
    security_score: subject.securityScore ?? 0,
    checks_run,
    checks_passed,
    by_area: Object.fromEntries(all.map(({ name, run, passed }) => [name, { run, passed }])),
    issues_found,
    load_times,
    passed: !issues_found.some((issue) => GRAVE.has(issue.severity)),
  };
}

function scored({ securityScore, request }: Subject, area: Area): void {
  const { min_security_score: least } = request.quality_thresholds;
  const missing = "the security agent left no score for this deployment";
  const what = securityScore === undefined ? missing : `the security score ${securityScore} is below ${least}`;
  area.check(securityScore !== undefined && securityScore >= least, "security_score", what);
}

function inOrder(one: Finding, other: Finding): number {
  for (const key of ["severity", "check", "where", "what"] as const) {
    if (one[key] !== other[key]) return one[key] < other[key] ? -1 : 1;
  }
  return 0;
}

async function visiting<T>(
  site: Site,
  signal: AbortSignal,
  visit: (visitor: Visitor) => Promise<T>,
  connectionsMax?: number,
) {
  const visitor = new Visitor(site, signal, connectionsMax);
  try {
    return await visit(visitor);
  } finally {
    visitor.close();
  }
}

/** Every page answers as a page, the machine-readable ones parse, and the corners behave. */
async function endpoints({ site, content, request }: Subject, area: Area, signal: AbortSignal): Promise<void> {
  await visiting(site, signal, async (visitor) => {
    for (const page of content.pages) {
      if (page === "404.html") continue;
      const { status, headers } = await visitor.get(urlOf(site, page), { follow: false });
      const kind = headers["content-type"] ?? "";
      area.check(status === 200 && kind.startsWith("text/html"), `/${page}`, `answers ${status} with ${kind}`);
    }
    await readableByMachines(visitor, site, content, area);
    await corners(visitor, site, area);
    if (request.security_requirements.ssl_redirect) {
      const { url, status } = await visitor.get(`http://${site.domain}/`);
      const good = url.startsWith("https:") && status === 200;
      area.check(good, `http://${site.domain}/`, `ends at ${url} with ${status}`);
    }
  });
}

async function readableByMachines(visitor: Visitor, site: Site, content: Content, area: Area): Promise<void> {
  const feed = await parsedXml(visitor, `${site.url}feed.xml`, area);
  if (feed !== undefined) {
    const entries = [feed.feed?.entry ?? []].flat().length;
    area.check(entries === content.posts, "/feed.xml", `holds ${entries} of ${content.posts} posts`);
  }
  const sitemap = await parsedXml(visitor, `${site.url}sitemap.xml`, area);
  if (sitemap !== undefined) {
    const listed = new Set([sitemap.urlset?.url ?? []].flat().map((each: { loc: string }) => String(each.loc)));
    const expected = content.pages.filter((page) => page !== "404.html").map((page) => urlOf(site, page));
    const missing = expected.filter((url) => !listed.has(url)).length;
    const differing = missing + listed.size - (new Set(expected).size - missing);
    area.check(differing === 0, "/sitemap.xml", `differs from the pages in ${differing} places`);
  }
  const { status, body } = await visitor.get(`${site.url}robots.txt`);
  const good = status === 200 && body.includes(`${site.url}sitemap.xml`);
  area.check(good, "/robots.txt", "does not name the sitemap", "low");
}

async function parsedXml(visitor: Visitor, url: string, area: Area) {
  const { status, body } = await visitor.get(url);
  const text = body.toString("utf8");
  const valid = XMLValidator.validate(text);
  if (valid !== true) {
    area.check(false, url, `does not parse: ${valid.err.msg}`);
    return undefined;
  }
  area.check(status === 200, url, `answers ${status}`);
  return new XMLParser({ parseTagValue: false }).parse(text);
}

async function corners(visitor: Visitor, site: Site, area: Area): Promise<void> {
  const nothing = await visitor.get(`${site.url}no-such-page`);
  area.check(nothing.status === 404, "/no-such-page", `answers ${nothing.status}`);
  const posts = await visitor.get(`${site.url}posts`, { follow: false });
  const leads = posts.status === 308 && posts.headers.location === "/posts/";
  area.check(leads, "/posts", `answers ${posts.status} without leading to /posts/`, "medium");
  const whole = await visitor.get(site.url);
  const head = await visitor.get(site.url, { method: "HEAD" });
  const alike = head.status === 200 && head.headers["content-length"] === String(whole.body.length);
  area.check(alike, "HEAD /", "differs from GET", "low");
  const again = await visitor.get(site.url, { headers: { "if-none-match": whole.headers.etag ?? "" } });
  area.check(again.status === 304, "/", `is sent again although unchanged (${again.status})`, "low");
}

/** Every path is, byte for byte, what was uploaded, and every page is whole and leads nowhere in vain. */
async function wholeness({ site, content }: Subject, area: Area, signal: AbortSignal): Promise<void> {
  const pages = new Map<string, HTMLElement>();
  await visiting(site, signal, (visitor) =>
    Promise.all(
      Object.entries(content.paths).map(async ([path, { sha256 }]) => {
        const body = await visitor.body(urlOf(site, path));
        if (body === undefined) {
          area.check(false, `/${path}`, "cannot be fetched", "critical");
          return;
        }
        const digest = createHash("sha256").update(body).digest("hex");
        area.check(digest === sha256, `/${path}`, "is not what was uploaded", "critical");
        if (content.pages.includes(path)) pages.set(path, parsePage(body));
      }),
    ),
  );
  const anchors = new Map([...pages].map(([path, page]) => [path, anchorsOf(page)]));
  for (const [path, page] of [...pages].sort(([one], [other]) => (one < other ? -1 : 1))) {
    area.check((page.querySelector("title")?.text.trim() ?? "") !== "", `/${path}`, "has no title");
    area.check(page.querySelectorAll("h1").length === 1, `/${path}`, "has not exactly one main heading", "low");
    const speechless = page
      .querySelectorAll("img")
      .flatMap((each) => (each.getAttribute("alt") ? [] : [each.getAttribute("src")]));
    area.check(speechless.length === 0, `/${path}`, `images without alternative text: ${speechless}`, "low");
    const dead = references(page).filter((target) => isDead(target, path, content, anchors));
    area.check(dead.length === 0, `/${path}`, `dead links: ${dead.join(", ")}`);
  }
}

function isDead(target: string, path: string, content: Content, anchors: ReadonlyMap<string, Set<string>>): boolean {
  if (!/^[/#]/.test(target) || target.startsWith("//")) return false;
  const [file = "", fragment = ""] = target.split("#", 2);
  const found = file === "" ? path : releasePath(file);
  if (!Object.hasOwn(content.paths, found)) return true;
  return fragment !== "" && anchors.get(found)?.has(fragment) === false;
}

/** What visitors get is protected and holds no secret: looked at again, from what is really served. */
async function security({ site, content, request }: Subject, area: Area, signal: AbortSignal): Promise<void> {
  const { security_headers, access_control } = request.security_requirements;
  await visiting(site, signal, async (visitor) => {
    for (const path of Object.keys(content.paths)) {
      if (path.startsWith("assets/") && !path.endsWith(".css")) continue;
      const { headers, body } = await visitor.get(urlOf(site, path));
      const missing = SECURITY_HEADERS.filter((name) => !(name.toLowerCase() in headers));
      if (security_headers) area.check(missing.length === 0, `/${path}`, `is sent without ${missing.join(", ")}`);
      const found = secretsIn(body.toString("utf8"));
      area.check(found.length === 0, `/${path}`, found.join("; "), "critical");
    }
  });
  const looked = {
    TLS: probes.tlsVersions,
    certificate: probes.certificate,
    traversal: probes.traversal,
    ...(access_control && { dotfiles: probes.dotfiles, listings: probes.listings, methods: probes.methods }),
  };
  for (const [name, probe] of Object.entries(looked)) {
    signal.throwIfAborted();
    const findings = await probe(site);
    const told = findings.map(({ where, what }) => `${where}: ${what}`).join("; ");
    area.check(findings.length === 0, name, told, findings.map((each) => each.severity).sort()[0] ?? "high");
  }
}

/** Loads each page with everything on it, as a browser that comes for the first time would. */
async function performanceOf({ site, content, request }: Subject, area: Area, signal: AbortSignal): Promise<LoadTimes> {
  const loads: { page: string; seconds: number; bytes: number }[] = [];
  const left = content.pages.filter((page) => page !== "404.html");
  const loader = async () => {
    for (let page = left.shift(); page !== undefined; page = left.shift()) loads.push(await load(site, page, signal));
  };
  await Promise.all(Array.from({ length: LOADS_AT_ONCE_MAX }, loader));
  const { max_load_time_seconds: limit } = request.quality_thresholds;
  for (const { page, seconds } of loads.sort((one, other) => (one.page < other.page ? -1 : 1))) {
    area.check(seconds <= limit, `/${page}`, `takes ${seconds.toFixed(3)} s to load, more than ${limit} s`);
  }
  const slowest = loads.reduce((one, other) => (other.seconds > one.seconds ? other : one));
  return {
    pages: loads.length,
    median_seconds: rounded(median(loads.map(({ seconds }) => seconds))),
    slowest_seconds: rounded(slowest.seconds),
    slowest_page: `/${slowest.page}`,
    bytes: loads.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

function load(site: Site, page: string, signal: AbortSignal) {
  return visiting(
    site,
    signal,
    async (visitor) => {
      const started = performance.now();
      const body = (await visitor.body(urlOf(site, page))) ?? Buffer.alloc(0);
      const targets = needed(parsePage(body)).map((target) => urlOf(site, releasePath(target)));
      const parts = await Promise.all(targets.map((url) => visitor.body(url)));
      const bytes = parts.reduce((sum, part) => sum + (part?.length ?? 0), body.length);
      return { page, seconds: (performance.now() - started) / 1000, bytes };
    },
    CONNECTIONS_A_PAGE_MAX,
  );
}

function median(numbers: number[]): number {
  const sorted = numbers.sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function rounded(seconds: number): number {
  return Math.round(seconds * 10_000) / 10_000;
}
