/**
 * The quality assurance agent of the blog's deployment, in TypeScript: looks at the finished site as a visitor, and says whether it is good
 * enough. `node build/demo/quality_assurance.js HOST:PORT`.
 */
import { onAgent, setLogger } from "@concert-dev/client";
import { type Agent, NotRetryable, runAgents, type TaskContext } from "@concert-dev/client/agent";
import { context as contexts, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { assure, type Quality } from "./checks.js";
import { type Content, type Request, requested, type Site, stateKey } from "./site.js";

const NAME = "quality_assurance";
const ISSUES_TOLD_MAX = 10;
const PLACES_TOLD_MAX = 3;
const STEPS = 4;

/** The site is up and below the thresholds asked for. */
class QualityNotMet extends NotRetryable {
  override readonly name = "QualityNotMet";
}

/** Needs infrastructure and content. Security only has to be over: a site that could not be hardened is still looked at. */
const agent: Agent = {
  name: NAME,
  capabilities: ["endpoint_testing", "content_validation", "security_scanning", "performance_testing"],
  dependsOn: [onAgent("infrastructure"), onAgent("content")],
  after: [onAgent("security")],
  labels: { language: "TypeScript" },

  validatePreconditions(context) {
    requested(context.runContext, context.input);
    return undefined;
  },

  /** Returns what was found. Throws QualityNotMet, after it has left the report in shared state, when that is not good enough. */
  async execute(context) {
    const request = requested(context.runContext, context.input);
    const subject = {
      site: context.previousResults.get("infrastructure") as unknown as Site,
      content: context.previousResults.get("content") as unknown as Content,
      request,
      securityScore: await securityScore(context, request),
    };
    let done = 0;
    const quality = await assure(subject, context.signal, (step) => context.progress(++done / STEPS, step));
    await context.publish("site_checked", { score: quality.quality_score, passed: quality.passed });
    const report = { [stateKey(request.domain, NAME)]: json({ ...quality, deployment_id: context.runId }) };
    if (!quality.passed) {
      await context.state.update(report, { strategy: "replace" });
      throw new QualityNotMet(why(quality));
    }
    context.setState(report, { strategy: "replace" });
    return json(quality);
  },
};

/** The score of this very deployment: a result is handed over by dependsOn only, so it is read from state. */
async function securityScore(context: TaskContext, { domain }: Request): Promise<number | undefined> {
  const left = (await context.state.get(stateKey(domain, "security")))?.value as
    | { deployment_id?: string; security_score?: number }
    | undefined;
  return left?.deployment_id === context.runId ? left.security_score : undefined;
}

/** The same thing wrong on many pages is one line. */
function why({ issues_found, checks_run, checks_passed }: Quality): string {
  const places = new Map<string, string[]>();
  for (const { severity, check, what, where } of issues_found) {
    const kind = `${severity} ${check}: ${what}`;
    places.set(kind, [...(places.get(kind) ?? []), where]);
  }
  const lines = [...places].map(([kind, where]) => `${kind} (${some(where, PLACES_TOLD_MAX).join(", ")})`);
  return `${checks_run - checks_passed} of ${checks_run} checks failed:\n${some(lines, ISSUES_TOLD_MAX).join("\n")}`;
}

function some(all: readonly string[], max: number): string[] {
  return all.length <= max ? [...all] : [...all.slice(0, max), `and ${all.length - max} more`];
}

function json(value: object) {
  return JSON.parse(JSON.stringify(value));
}

const [address] = process.argv.slice(2);
contexts.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(new BasicTracerProvider());
setLogger(console);
await runAgents(agent, { ...(address !== undefined && { address }) });
