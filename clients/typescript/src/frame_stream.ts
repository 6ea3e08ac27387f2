/** One Connect stream, on a channel of its own, so that a reconnect never inherits the state of the one before. */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { Connection } from "./connection.js";
import { ConcertError, Unavailable } from "./errors.js";
import { CONNECT_PATH } from "./methods.js";
import { decodeFrame, type Incoming } from "./wire.js";

/** Who is told of what comes down. */
export interface FrameListener {
  onMessages(messages: Incoming[]): void;
  /** The stream is over; once, and never before it was opened. */
  onEnd(error: ConcertError): void;
}

const identity = (bytes: Buffer) => bytes;

/** Frames up and down. Knows nothing of sessions. */
export class FrameStream {
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #close: () => void;
  #listener: FrameListener;
  #over: ConcertError | undefined;

  /** Opens it; what goes wrong is told to `listener`. */
  constructor(connection: Connection, listener: FrameListener) {
    this.#listener = listener;
    const { address } = connection;
    const channel = connection.openChannel();
    this.#close = () => channel.close();
    const metadata = connection.callMetadata();
    this.#call = channel.makeBidiStreamRequest(CONNECT_PATH, identity, identity, metadata, connection.callOptions);
    this.#call.on("data", (frame: Buffer) => this.#receive(frame));
    this.#call.on("error", (error) => {
      const explained = connection.explain(error, address, "sessions");
      this.#end(explained instanceof ConcertError ? explained : new Unavailable(String(explained), { cause: error }));
    });
    this.#call.on("end", () => this.#end(new Unavailable("the coordinator ended the stream")));
  }

  /** Has somebody else told from now on. */
  listen(listener: FrameListener): void {
    this.#listener = listener;
    if (this.#over !== undefined) listener.onEnd(this.#over);
  }

  /** Sends a frame; `written` is called when there is room for the next. */
  write(frame: Buffer, written: () => void): void {
    if (this.#over !== undefined) return;
    const hasRoom = this.#call.write(frame);
    if (hasRoom) setImmediate(written);
    else this.#call.once("drain", written);
  }

  /** Ends the stream and its channel; nobody is told. */
  close(): void {
    this.#over ??= new Unavailable("the stream is closed");
    this.#call.cancel();
    this.#close();
  }

  #receive(frame: Buffer): void {
    if (this.#over !== undefined) return;
    this.#listener.onMessages(decodeFrame(new Uint8Array(frame.buffer, frame.byteOffset, frame.length)));
  }

  #end(error: ConcertError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#close();
    this.#listener.onEnd(error);
  }
}
