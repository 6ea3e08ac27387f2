/**
 * Trace context across processes, when @opentelemetry/api is installed; nothing, at no cost, when it is not. Only the API is used:
 * whether and where spans are exported is the program's decision.
 */
import type * as Api from "@opentelemetry/api";

const INSTRUMENTATION = "concert";
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

let api: typeof Api | undefined;
try {
  api = await import("@opentelemetry/api");
} catch {
  // It is optional.
}

/** The W3C traceparent of the span in whose context this is called; empty without one. */
export function currentTraceparent(): string {
  const context = api?.trace.getActiveSpan()?.spanContext();
  if (api === undefined || context === undefined || !api.isSpanContextValid(context)) return "";
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, "0");
  return `00-${context.traceId}-${context.spanId}-${flags}`;
}

/** Runs its body in a span that is the child of `traceparent` (of none when empty); an error of the body is one of the span. */
export async function inSpan<T>(
  name: string,
  traceparent: string,
  attributes: Record<string, string | number>,
  body: () => Promise<T>,
): Promise<T> {
  if (api === undefined) return await body();
  const { SpanStatusCode, trace } = api;
  return await trace
    .getTracer(INSTRUMENTATION)
    .startActiveSpan(name, { attributes }, parent(api, traceparent), async (span) => {
      try {
        return await body();
      } catch (error) {
        span.recordException(error instanceof Error ? error : String(error));
        span.setStatus({ code: SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    });
}

function parent({ ROOT_CONTEXT, trace }: typeof Api, traceparent: string): Api.Context {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return trace.setSpanContext(ROOT_CONTEXT, context);
}
