// Builds everything, installing first when the lock file has changed since: `npm run make`. Several at a time take turns.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const LOCK = "build/.making";
const INSTALLED = "node_modules/.installed-lock.json";
const STALE_MS = 15 * 60_000;

mkdirSync("build", { recursive: true });
await enter();
try {
  const lock = readFileSync("package-lock.json", "utf8");
  if (!existsSync(INSTALLED) || readFileSync(INSTALLED, "utf8") !== lock) {
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    writeFileSync(INSTALLED, lock);
  }
  run("npm", ["run", "--silent", "build"]);
  run("npm", ["run", "--silent", "build:programs"]);
} finally {
  rmSync(LOCK, { recursive: true, force: true });
}

async function enter() {
  for (;;) {
    try {
      mkdirSync(LOCK);
      return;
    } catch {
      const age = existsSync(LOCK) ? Date.now() - statSync(LOCK).mtimeMs : 0;
      if (age > STALE_MS) rmSync(LOCK, { recursive: true, force: true });
      await sleep(200);
    }
  }
}

function run(command, words) {
  const { status, error } = spawnSync(command, words, { stdio: "inherit" });
  if (status !== 0) {
    rmSync(LOCK, { recursive: true, force: true });
    console.error(`${command} ${words.join(" ")} failed${error ? `: ${error.message}` : ""}`);
    process.exit(status ?? 1);
  }
}
