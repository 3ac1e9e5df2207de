// How a plugin's process ends: with the end of file on stdin, or with SIGTERM. A thread of its own waits for
// the former, so that a step that never returns does not keep the process alive.

import { rmSync } from "node:fs";
import { Worker } from "node:worker_threads";

/** After so long the process ends, whatever user code still does. */
export const EXIT_WAIT_MS = 2000;

export interface LifelineData {
  readonly folder: string;
  readonly waitMs: number;
}

/** `close` is called once, at the end, and has a while to give back what the process holds. */
export function watchLifeline(folder: string, close: () => Promise<void>): void {
  let ending = false;
  const end = async () => {
    if (ending) return;
    ending = true;
    setTimeout(() => leave(folder), EXIT_WAIT_MS);
    try {
      await close();
    } catch (error) {
      process.stderr.write(`heddle: ${(error as Error).message}\n`);
    }
    leave(folder);
  };
  const workerData: LifelineData = { folder, waitMs: EXIT_WAIT_MS };
  const worker = new Worker(new URL("./lifeline_worker.js", import.meta.url), { workerData });
  worker.on("message", () => void end());
  worker.on("error", (error) => {
    process.stderr.write(`heddle: the watch over stdin failed: ${error.message}\n`);
    void end();
  });
  process.on("SIGTERM", () => void end());
  // ^C is for the engine.
  process.on("SIGINT", () => {});
}

function leave(folder: string): never {
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
