// The thread that waits for the end of file on stdin. It tells the main thread; where that does not end the
// process in time, it does so itself.

import { rmSync } from "node:fs";
import { Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import type { LifelineData } from "./lifeline.js";

const { folder, waitMs } = workerData as LifelineData;

function end(): void {
  parentPort?.postMessage("end");
  setTimeout(() => {
    rmSync(folder, { recursive: true, force: true });
    process.kill(process.pid, "SIGKILL");
  }, waitMs);
}

function openStdin(): Socket | undefined {
  try {
    return new Socket({ fd: 0, readable: true, writable: false });
  } catch {
    // A file or a device, whose end is there from the start.
    return undefined;
  }
}

const stdin = openStdin();
if (stdin === undefined) end();
else
  stdin
    .on("error", () => {})
    .once("close", end)
    .resume();
