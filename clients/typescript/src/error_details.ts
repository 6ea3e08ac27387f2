/** The detail messages that errors carry, unpacked from google.protobuf.Any. */
import {
  Deadlock,
  DependencyCycle,
  LockContention,
  LogPosition,
  StaleToken,
  StateConflict,
} from "./generated/concert/v1/error.js";
import type { Any } from "./generated/google/protobuf/any.js";
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  QuotaFailure,
  ResourceInfo,
  RetryInfo,
} from "./generated/google/rpc/error_details.js";

/** The detail messages, by the full names of their types. */
export interface DetailMessages {
  "google.rpc.ErrorInfo": ErrorInfo;
  "google.rpc.BadRequest": BadRequest;
  "google.rpc.ResourceInfo": ResourceInfo;
  "google.rpc.PreconditionFailure": PreconditionFailure;
  "google.rpc.QuotaFailure": QuotaFailure;
  "google.rpc.RetryInfo": RetryInfo;
  "concert.v1.DependencyCycle": DependencyCycle;
  "concert.v1.StateConflict": StateConflict;
  "concert.v1.StaleToken": StaleToken;
  "concert.v1.Deadlock": Deadlock;
  "concert.v1.LockContention": LockContention;
  "concert.v1.LogPosition": LogPosition;
}

/** The full name of a detail message's type. */
export type DetailType = keyof DetailMessages;

/** The message of that type. */
export type DetailMessage<T extends DetailType> = DetailMessages[T];

const CODECS: { readonly [T in DetailType]: { decode(input: Uint8Array): DetailMessages[T] } } = {
  "google.rpc.ErrorInfo": ErrorInfo,
  "google.rpc.BadRequest": BadRequest,
  "google.rpc.ResourceInfo": ResourceInfo,
  "google.rpc.PreconditionFailure": PreconditionFailure,
  "google.rpc.QuotaFailure": QuotaFailure,
  "google.rpc.RetryInfo": RetryInfo,
  "concert.v1.DependencyCycle": DependencyCycle,
  "concert.v1.StateConflict": StateConflict,
  "concert.v1.StaleToken": StaleToken,
  "concert.v1.Deadlock": Deadlock,
  "concert.v1.LockContention": LockContention,
  "concert.v1.LogPosition": LogPosition,
};

/** A detail message and what it is. */
export interface Detail {
  readonly type: DetailType;
  readonly value: DetailMessage<DetailType>;
}

/** The message in an Any; undefined when it is none that this client knows, or cannot be read. */
export function unpackDetail(any: Any): Detail | undefined {
  const type = any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1);
  if (!Object.hasOwn(CODECS, type)) return undefined;
  try {
    return { type: type as DetailType, value: CODECS[type as DetailType].decode(any.value) };
  } catch {
    return undefined;
  }
}
