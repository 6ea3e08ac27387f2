/** Spans of agents join the trace of their run. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, RunStatus, task } from "@concert-dev/client";
import { AgentHost } from "@concert-dev/client/agent";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Coordinator } from "./coordinator.js";

const exporter = new InMemorySpanExporter();
let coordinator: Coordinator;

before(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  coordinator = await Coordinator.start();
});

after(async () => {
  await coordinator[Symbol.asyncDispose]();
});

test("submit, the attempt, a span inside it, and what it publishes are one trace", async () => {
  await using client = connect(coordinator.address);
  const tracer = trace.getTracer("test");
  const agent = {
    name: "traced",
    execute: () => tracer.startActiveSpan("inside", (span) => client.publish("from_inside").finally(() => span.end())),
  };
  await using host = AgentHost.start(agent, { address: coordinator.address });
  await host.registered();
  const run = await tracer.startActiveSpan("submit", async (span) => {
    const submitted = await client.submitRun({ tasks: [task("only", { agent: "traced" })] });
    span.end();
    return submitted;
  });
  // What it returned is a bigint, which becomes a number in JSON.
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  const spans = exporter.getFinishedSpans();
  const named = (name: string) => {
    const found = spans.find((span) => span.name === name);
    assert.ok(found, name);
    return found;
  };
  const { traceId } = named("submit").spanContext();
  assert.equal(named("execute traced").spanContext().traceId, traceId);
  assert.equal(named("inside").parentSpanContext?.spanId, named("execute traced").spanContext().spanId);
  const [event] = await client.events.list({ customNames: ["from_inside"] });
  assert.equal(event?.traceparent.split("-")[1], traceId);
  assert.equal(event?.traceparent.split("-")[2], named("inside").spanContext().spanId);
});
