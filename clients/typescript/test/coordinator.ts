/** A real coordinator, as a process that tests start, kill and start again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { until } from "./conditions.js";

const ROOT = resolve(import.meta.dirname, "../../../..");
const IN_VENV = join(ROOT, ".venv/bin/python");
const PYTHON = process.env.CONCERT_PYTHON ?? (existsSync(IN_VENV) ? IN_VENV : "python3");

/** One coordinator and its data. */
export class Coordinator implements AsyncDisposable {
  readonly #directory: string;
  #process: ChildProcess | undefined;
  #port = 0;

  /** Starts one on a data directory of its own. */
  static async start(): Promise<Coordinator> {
    const coordinator = new Coordinator(await mkdtemp(join(tmpdir(), "concert-ts-")));
    await coordinator.start();
    return coordinator;
  }

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Where it listens: the same after a restart. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Starts it again, on the same data and port. */
  async start(): Promise<void> {
    const readyFile = join(this.#directory, "ready.json");
    await rm(readyFile, { force: true });
    const data = join(this.#directory, "data");
    const files = ["--ready-file", readyFile, "--data-dir", data];
    const child = spawn(PYTHON, ["-m", "coordinator_service", "--listen", this.address, ...files], {
      cwd: ROOT,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr?.on("data", (chunk) => {
      errors = `${errors}${chunk}`.slice(-4000);
    });
    this.#process = child;
    await until(() => {
      if (child.exitCode !== null) throw new Error(`the coordinator did not start:\n${errors}`);
      return existsSync(readyFile);
    });
    const { address } = await until(async () => {
      const text = await readFile(readyFile, "utf8");
      return text.endsWith("}") || text.endsWith("}\n") ? (JSON.parse(text) as { address: string }) : undefined;
    });
    this.#port = Number(address.slice(address.lastIndexOf(":") + 1));
  }

  /** Ends it at once, as a crash would. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  /** Stops it for a while: nothing is answered, nothing is refused. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  /** Goes on. */
  resume(): void {
    this.#process?.kill("SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
