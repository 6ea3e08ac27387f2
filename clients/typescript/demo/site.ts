/** What the agents of the deployment hand each other, as far as quality assurance reads it, and what it is asked for. */
import { PreconditionFailed } from "@concert-dev/client/agent";

/** The infrastructure agent's result: what a visitor needs to reach the site. */
export interface Site {
  readonly domain: string;
  readonly url: string;
  readonly certificate: { readonly authority_file: string };
  readonly distribution: { readonly address: string; readonly https_port: number; readonly http_port: number };
}

/** The content agent's result: every path of the release as it was uploaded. */
export interface Content {
  readonly posts: number;
  readonly pages: readonly string[];
  readonly paths: Readonly<Record<string, { readonly sha256: string }>>;
}

/** Something that is wrong. Severity: critical, high, medium or low. */
export interface Finding {
  readonly severity: string;
  readonly check: string;
  readonly where: string;
  readonly what: string;
}

/** Seconds to load a page with everything on it, over fresh TLS connections. */
export interface LoadTimes {
  readonly pages: number;
  readonly median_seconds: number;
  readonly slowest_seconds: number;
  readonly slowest_page: string;
  readonly bytes: number;
}

/** What a deployment asks for. */
export interface Request {
  readonly domain: string;
  readonly security_requirements: {
    readonly ssl_redirect: boolean;
    readonly security_headers: boolean;
    readonly access_control: boolean;
  };
  readonly quality_thresholds: { readonly min_security_score: number; readonly max_load_time_seconds: number };
}

const LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;
const SOURCES_MAX = 100;

/** The deployment that an attempt belongs to: the run's context, overridden by the task's own input. Throws PreconditionFailed. */
export function requested(runContext: unknown, input: unknown): Request {
  const { domain, content_sources, security_requirements, quality_thresholds } = {
    ...object(runContext),
    ...object(input),
  };
  if (typeof domain !== "string" || !isDomainName(domain)) refuse(`${JSON.stringify(domain)} is no domain name`);
  const sources = Array.isArray(content_sources) ? content_sources.length : 0;
  if (sources < 1 || sources > SOURCES_MAX) refuse(`content_sources names 1 to ${SOURCES_MAX} folders`);
  const requirements = {
    ssl_redirect: true,
    security_headers: true,
    access_control: true,
    ...object(security_requirements),
  };
  const thresholds = { min_security_score: 0.9, max_load_time_seconds: 2, ...object(quality_thresholds) };
  for (const [name, value] of Object.entries(requirements))
    if (typeof value !== "boolean") refuse(`${name} is true or false`);
  const { min_security_score: score, max_load_time_seconds: seconds } = thresholds;
  if (!(score >= 0 && score <= 1)) refuse("min_security_score lies between 0 and 1");
  if (!(seconds > 0)) refuse("max_load_time_seconds is more than 0");
  return { domain: domain as string, security_requirements: requirements, quality_thresholds: thresholds };
}

/** Where an agent leaves what it knows of a site, in shared state. */
export function stateKey(domain: string, agentName: string): string {
  return `sites/${domain}/${agentName}`;
}

/** The URL of a path of the release. */
export function urlOf({ url }: Site, path: string): string {
  return url + path.replace(/index\.html$/, "");
}

function isDomainName(domain: string): boolean {
  const labels = domain.split(".");
  return domain.length <= 253 && labels.length >= 2 && labels.every((label) => LABEL.test(label));
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function refuse(words: string): never {
  throw new PreconditionFailed(words);
}
