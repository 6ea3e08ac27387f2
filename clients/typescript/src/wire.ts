/**
 * The envelope of a session on the wire: frames of client messages out, coordinator messages in. What is inside of commands and replies
 * is passed on unread, so that a thread which only carries it need not take it apart.
 *
 * Messages are written once, when they are made, because a command may be sent again; a frame is then only a join, since a `repeated`
 * field is its framed elements one after another.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { CancelTask, Drain, Hello, Welcome } from "./generated/concert/v1/session_service.js";

const MESSAGES_TAG = 0x0a; // Field 1, length-delimited.
const CLIENT = { hello: 1, heartbeat: 2, command: 3 } as const;
const COORDINATOR = { welcome: 1, task: 2, cancel: 3, drain: 4, reply: 5, heartbeatAck: 6 } as const;
const ATTEMPT_TOKEN_FIELD = 5; // Of AgentTask.

/** One message from the coordinator. */
export type Incoming =
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  | { readonly kind: "task"; readonly attemptToken: bigint; readonly task: Uint8Array }
  | { readonly kind: "cancel"; readonly cancel: CancelTask }
  | { readonly kind: "drain"; readonly drain: Drain }
  | { readonly kind: "reply"; readonly correlationId: bigint; readonly field: number; readonly outcome: Uint8Array }
  | { readonly kind: "heartbeatAck"; readonly nonce: bigint }
  | { readonly kind: "unknown" };

/** A ConnectRequest of messages that are written already. */
export function encodeFrame(messages: readonly Uint8Array[]): Buffer {
  const frame = Buffer.allocUnsafe(messages.reduce((size, each) => size + framedSize(each), 0));
  let at = 0;
  for (const message of messages) {
    frame[at++] = MESSAGES_TAG;
    let size = message.length;
    for (; size > 0x7f; size >>>= 7) frame[at++] = (size & 0x7f) | 0x80;
    frame[at++] = size;
    frame.set(message, at);
    at += message.length;
  }
  return frame;
}

/** How many bytes a message takes in a frame. */
export function framedSize(message: Uint8Array): number {
  let size = 2 + message.length;
  for (let rest = message.length >>> 7; rest > 0; rest >>>= 7) size++;
  return size;
}

/** A ClientMessage that opens or resumes. */
export function encodeHello(hello: Hello): Uint8Array {
  const writer = open(CLIENT.hello);
  Hello.encode(hello, writer);
  return writer.join().finish();
}

/** A ClientMessage that renews the lease. */
export function encodeHeartbeat(nonce: bigint): Uint8Array {
  const writer = open(CLIENT.heartbeat);
  writer.uint32(delimit(1, WireType.Varint)).uint64(nonce);
  return writer.join().finish();
}

/** A ClientMessage that asks for something: `field` is the request's in Command, `request` the request, written. */
export function encodeCommand(
  correlationId: bigint,
  traceparent: string,
  field: number,
  request: Uint8Array,
): Uint8Array {
  const writer = open(CLIENT.command);
  writer.uint32(delimit(1, WireType.Varint)).uint64(correlationId);
  if (traceparent !== "") writer.uint32(delimit(2, WireType.LengthDelimited)).string(traceparent);
  writer.uint32(delimit(field, WireType.LengthDelimited)).bytes(request);
  return writer.join().finish();
}

/** The messages of a ConnectResponse. */
export function decodeFrame(frame: Uint8Array): Incoming[] {
  const reader = new BinaryReader(frame);
  const messages: Incoming[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) messages.push(decodeMessage(reader.bytes()));
    else reader.skip(type, field);
  }
  return messages;
}

function decodeMessage(bytes: Uint8Array): Incoming {
  const reader = new BinaryReader(bytes);
  let message: Incoming = { kind: "unknown" };
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) message = decodeBody(field, reader.bytes());
    else reader.skip(type, field);
  }
  return message;
}

function decodeBody(field: number, body: Uint8Array): Incoming {
  switch (field) {
    case COORDINATOR.reply:
      return decodeReply(body);
    case COORDINATOR.task:
      return { kind: "task", attemptToken: varintField(body, ATTEMPT_TOKEN_FIELD), task: body };
    case COORDINATOR.heartbeatAck:
      return { kind: "heartbeatAck", nonce: varintField(body, 1) };
    case COORDINATOR.welcome:
      return { kind: "welcome", welcome: Welcome.decode(body) };
    case COORDINATOR.cancel:
      return { kind: "cancel", cancel: CancelTask.decode(body) };
    case COORDINATOR.drain:
      return { kind: "drain", drain: Drain.decode(body) };
    default:
      return { kind: "unknown" };
  }
}

function decodeReply(body: Uint8Array): Incoming {
  const reader = new BinaryReader(body);
  let correlationId = 0n;
  let outcome: Uint8Array = new Uint8Array();
  let outcomeField = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) correlationId = BigInt(reader.uint64());
    else if (type === WireType.LengthDelimited) {
      outcome = reader.bytes();
      outcomeField = field;
    } else reader.skip(type, field);
  }
  return { kind: "reply", correlationId, field: outcomeField, outcome };
}

function varintField(body: Uint8Array, wanted: number): bigint {
  const reader = new BinaryReader(body);
  let found = 0n;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.Varint) found = BigInt(reader.uint64());
    else reader.skip(type, field);
  }
  return found;
}

function open(field: number): BinaryWriter {
  return new BinaryWriter().uint32(delimit(field, WireType.LengthDelimited)).fork();
}

function delimit(field: number, type: WireType): number {
  return (field << 3) | type;
}
