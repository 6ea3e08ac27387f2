/** What the client has to say beside its answers: that a clean-up failed, that an agent cannot register yet. */
import { debuglog } from "node:util";

/** Takes what is said; `console` is one. */
export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const quietly = debuglog("concert");

let logger: Logger = {
  debug: (message) => quietly(message),
  info: (message) => quietly(message),
  warn: (message) => console.warn(`concert: ${message}`),
  error: (message) => console.error(`concert: ${message}`),
};

/** Has it said to `to` instead of: warnings and errors to the console, the rest to NODE_DEBUG=concert. */
export function setLogger(to: Logger): void {
  logger = to;
}

/** Says it. */
export const log: Logger = {
  debug: (message) => logger.debug(message),
  info: (message) => logger.info(message),
  warn: (message) => logger.warn(message),
  error: (message) => logger.error(message),
};

/** An error as one line. */
export function say(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
