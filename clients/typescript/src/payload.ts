/** JSON and bytes to and from the contract's Payload; what the contract refuses is refused before it is sent. */
import { InvalidPayload } from "./errors.js";
import { Payload } from "./generated/concert/v1/payload.js";
import { type Json, type JsonLike, Value } from "./json_value.js";
import { JSON_DEPTH_MAX, JSON_INTEGER_MAX, PAYLOAD_BYTES_MAX } from "./limits.js";
import { message } from "./message.js";

/** A Payload message, bytes, or JSON. */
export type PayloadLike = Payload | Uint8Array | JsonLike;

const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * A value as the contract takes it, copied, so that what the caller does to it later changes nothing.
 *
 * Throws InvalidPayload for NaN and infinity, bigints beyond 2^53 (they would lose digits: send them as strings), text that is not valid
 * Unicode, other types, and nesting beyond 28 levels.
 */
export function toJson(value: JsonLike): Json {
  return copied(value, 1, "");
}

/** The Payload for bytes (data) or JSON; a Payload passes through. Throws InvalidPayload, also above 1 MiB encoded. */
export function toPayload(content: PayloadLike, contentType = ""): Payload {
  const payload = asPayload(content, contentType);
  const size = Payload.encode(payload).finish().length;
  if (size > PAYLOAD_BYTES_MAX) {
    throw new InvalidPayload(`a payload of ${size} bytes is over the limit of ${PAYLOAD_BYTES_MAX}`);
  }
  return payload;
}

/** The value of a Payload: JSON, or bytes for data; undefined when it is empty. */
export function fromPayload(payload: Payload | undefined): Json | Uint8Array | undefined {
  return payload?.content?.value;
}

/** The text, its beginning cut off so that it takes at most that many bytes in UTF-8. */
export function clipStart(text: string, bytesMax: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytesMax) return encoded.toString();
  let start = encoded.length - bytesMax + 3;
  while (isContinuation(encoded[start])) start++;
  return `…${encoded.toString("utf8", start)}`;
}

/** The text, its end cut off so that it takes at most that many bytes in UTF-8. */
export function clip(text: string, bytesMax: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytesMax) return encoded.toString();
  let end = bytesMax - 3;
  while (isContinuation(encoded[end])) end--;
  return `${encoded.toString("utf8", 0, end)}…`;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function asPayload(content: PayloadLike, contentType: string): Payload {
  if (content instanceof Uint8Array) {
    return message(Payload, { content: { $case: "data", value: content }, contentType });
  }
  if (isPayload(content)) return content;
  return message(Payload, { content: { $case: "json", value: toJson(content) }, contentType });
}

function isPayload(content: PayloadLike): content is Payload {
  if (typeof content !== "object" || content === null || !("contentType" in content && "content" in content))
    return false;
  const inner = (content as Payload).content;
  return inner === undefined || (typeof inner === "object" && inner !== null && "$case" in inner);
}

function copied(value: JsonLike, depth: number, path: string): Json {
  switch (typeof value) {
    case "string":
      return encodable(value, path);
    case "boolean":
      return value;
    case "number":
      if (!Number.isFinite(value)) throw new InvalidPayload(`${at(path)} is ${value}: JSON has no NaN and no infinity`);
      return value;
    case "bigint":
      if (value > JSON_INTEGER_MAX || value < -JSON_INTEGER_MAX) {
        throw new InvalidPayload(`${at(path)} is an integer beyond 2^53: send it as a string`);
      }
      return Number(value);
  }
  if (value === null) return null;
  if (typeof value !== "object") throw new InvalidPayload(`${at(path)} is ${typeof value}, which JSON does not have`);
  if (depth > JSON_DEPTH_MAX)
    throw new InvalidPayload(`${path.slice(0, 80)} nests deeper than ${JSON_DEPTH_MAX} levels`);
  if (Array.isArray(value)) return value.map((item, index) => copied(item, depth + 1, `${path}[${index}]`));
  return copiedObject(value as { readonly [key: string]: JsonLike | undefined }, depth, path);
}

function copiedObject(
  value: { readonly [key: string]: JsonLike | undefined },
  depth: number,
  path: string,
): { [key: string]: Json } {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new InvalidPayload(`${at(path)} is a ${value.constructor?.name ?? "class"}, which JSON does not have`);
  }
  const entries: [string, Json][] = [];
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    entries.push([encodable(key, path), copied(item, depth + 1, path === "" ? key : `${path}.${key}`)]);
  }
  return Object.fromEntries(entries);
}

function encodable(text: string, path: string): string {
  if (LONE_SURROGATE.test(text)) throw new InvalidPayload(`${at(path)} holds text that is not valid Unicode`);
  return text;
}

function at(path: string): string {
  return path === "" ? "the value" : path;
}

/** How many bytes a JSON value takes. */
export function jsonBytes(json: Json): number {
  return Value.encode(json).finish().length;
}
