/**
 * google.protobuf.Value as plain JSON. The generated code reads and writes through here instead of through a tree of messages, which
 * is faster and keeps every key, `__proto__` too.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A JSON value, as it is read. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What can be written as JSON: properties that are undefined are left out, as JSON.stringify does. */
export type JsonLike =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonLike[]
  | { readonly [key: string]: JsonLike | undefined };

const DEPTH_MAX = 100;
const NULL = 1;
const NUMBER = 2;
const STRING = 3;
const BOOL = 4;
const STRUCT = 5;
const LIST = 6;

const tag = (field: number, type: WireType) => (field << 3) | type;

/** The codec that the generated messages use; wrap and unwrap are theirs too, and have nothing to do. */
export const Value = {
  encode(json: unknown, writer: BinaryWriter = new BinaryWriter()): BinaryWriter {
    write(json as JsonLike, writer);
    return writer;
  },

  decode(input: BinaryReader | Uint8Array, length?: number): Json {
    const reader = input instanceof BinaryReader ? input : new BinaryReader(input);
    return read(reader, length === undefined ? reader.len : reader.pos + length, 1);
  },

  // biome-ignore lint/suspicious/noExplicitAny: the generated fields have this type
  wrap(json: any): unknown {
    return json;
  },

  // biome-ignore lint/suspicious/noExplicitAny: the generated fields have this type
  unwrap(json: Json): any {
    return json;
  },
};

function write(json: JsonLike, writer: BinaryWriter): void {
  switch (typeof json) {
    case "string":
      writer.uint32(tag(STRING, WireType.LengthDelimited)).string(json);
      return;
    case "number":
    case "bigint":
      writer.uint32(tag(NUMBER, WireType.Bit64)).double(Number(json));
      return;
    case "boolean":
      writer.uint32(tag(BOOL, WireType.Varint)).bool(json);
      return;
  }
  if (json === null || json === undefined) {
    writer.uint32(tag(NULL, WireType.Varint)).int32(0);
  } else if (Array.isArray(json)) {
    writer.uint32(tag(LIST, WireType.LengthDelimited)).fork();
    for (const item of json) writeItem(1, item, writer);
    writer.join();
  } else {
    writer.uint32(tag(STRUCT, WireType.LengthDelimited)).fork();
    for (const [key, item] of Object.entries(json as { readonly [key: string]: JsonLike | undefined })) {
      if (item === undefined) continue;
      writer.uint32(tag(1, WireType.LengthDelimited)).fork();
      writer.uint32(tag(1, WireType.LengthDelimited)).string(key);
      writeItem(2, item, writer);
      writer.join();
    }
    writer.join();
  }
}

function writeItem(field: number, json: JsonLike, writer: BinaryWriter): void {
  writer.uint32(tag(field, WireType.LengthDelimited)).fork();
  write(json, writer);
  writer.join();
}

function read(reader: BinaryReader, end: number, depth: number): Json {
  if (depth > DEPTH_MAX) throw new RangeError(`a JSON value nests deeper than ${DEPTH_MAX} levels`);
  let json: Json = null;
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (field === NULL) {
      reader.int32();
      json = null;
    } else if (field === NUMBER) json = reader.double();
    else if (field === STRING) json = reader.string();
    else if (field === BOOL) json = reader.bool();
    else if (field === STRUCT) json = readStruct(reader, reader.uint32(), depth);
    else if (field === LIST) json = readList(reader, reader.uint32(), depth);
    else reader.skip(type, field);
  }
  return json;
}

function readStruct(reader: BinaryReader, length: number, depth: number): { [key: string]: Json } {
  const end = reader.pos + length;
  const struct: { [key: string]: Json } = {};
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (field === 1) readEntry(reader, reader.uint32(), depth, struct);
    else reader.skip(type, field);
  }
  return struct;
}

function readEntry(reader: BinaryReader, length: number, depth: number, struct: { [key: string]: Json }): void {
  const end = reader.pos + length;
  let key = "";
  let json: Json = null;
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (field === 1) key = reader.string();
    else if (field === 2) {
      const size = reader.uint32();
      json = read(reader, reader.pos + size, depth + 1);
    } else reader.skip(type, field);
  }
  if (key === "__proto__") {
    Object.defineProperty(struct, key, { value: json, enumerable: true, configurable: true, writable: true });
  } else struct[key] = json;
}

function readList(reader: BinaryReader, length: number, depth: number): Json[] {
  const end = reader.pos + length;
  const list: Json[] = [];
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (field === 1) {
      const size = reader.uint32();
      list.push(read(reader, reader.pos + size, depth + 1));
    } else reader.skip(type, field);
  }
  return list;
}
