// The same messages through ts-proto (the client's) and protobuf-es: microseconds each, the best of five rounds.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as esEvents from "./concert/v1/event_service_pb.js";
import * as esSession from "./concert/v1/session_service_pb.js";

const ts = await import(`${process.argv[2]}/v1.js`);
const { message } = await import(`${process.argv[2]}/message.js`);
const { encodeCommand, encodeFrame } = await import(`${process.argv[2]}/wire.js`);
const requestId = "abc-000000000001";
const value = new Uint8Array(64).fill(120);
const name = "measured";
const PUBLISH_FIELD = 20;

function writeByClient() {
  const custom = message(ts.CustomEvent, { name, data: message(ts.Payload, { content: { $case: "data", value } }) });
  const request = message(ts.PublishRequest, { requestId, events: [message(ts.EventDraft, { custom })] });
  return encodeFrame([encodeCommand(1n, "", PUBLISH_FIELD, ts.PublishRequest.encode(request).finish())]);
}

function writeByProtobufEs() {
  const publish = { requestId, events: [{ custom: { name, data: { content: { case: "data", value } } } }] };
  const command = { correlationId: 1n, request: { case: "publish", value: publish } };
  const frame = create(esSession.ConnectRequestSchema, { messages: [{ message: { case: "command", value: command } }] });
  return toBinary(esSession.ConnectRequestSchema, frame);
}

const reply = (_each, index) => ({
  message: {
    case: "reply",
    value: { correlationId: BigInt(index), outcome: { case: "publish", value: { sequences: [BigInt(index)] } } },
  },
});
const json = (value) => ({ kind: { case: "numberValue", value } });
const event = (_each, index) => ({
  logId: "0123456789abcdef",
  sequence: BigInt(index),
  eventId: `event-${index}`,
  type: 100,
  timestamp: { seconds: 1n, nanos: 3 },
  payload: {
    case: "custom",
    value: {
      name: "measured",
      data: { content: { case: "json", value: { kind: { case: "structValue", value: { fields: { a: json(1), b: json(2) } } } } } },
    },
  },
});
const replies = toBinary(
  esSession.ConnectResponseSchema,
  create(esSession.ConnectResponseSchema, { messages: Array.from({ length: 32 }, reply) }),
);
const events = toBinary(
  esEvents.SubscribeResponseSchema,
  create(esEvents.SubscribeResponseSchema, { events: Array.from({ length: 100 }, event) }),
);

const rows = {
  "make and write a command": [writeByClient, writeByProtobufEs],
  "read a frame of 32 replies": [
    () => ts.ConnectResponse.decode(replies),
    () => fromBinary(esSession.ConnectResponseSchema, replies),
  ],
  "read a batch of 100 events": [
    () => ts.SubscribeResponse.decode(events),
    () => fromBinary(esEvents.SubscribeResponseSchema, events),
  ],
};
for (const [what, [one, other]] of Object.entries(rows)) {
  const [tsProto, protobufEs] = [best(one), best(other)];
  const ratio = (protobufEs / tsProto).toFixed(1);
  console.log(`${what}: ts-proto ${tsProto.toFixed(1)} us, protobuf-es ${protobufEs.toFixed(1)} us (${ratio} x)`);
}

function best(act) {
  for (let warm = 0; warm < 1000; warm++) act();
  const rounds = Array.from({ length: 5 }, () => {
    const begun = process.hrtime.bigint();
    for (let count = 0; count < 1000; count++) act();
    return Number(process.hrtime.bigint() - begun) / 1e6;
  });
  return Math.min(...rounds);
}
