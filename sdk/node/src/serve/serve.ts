// A plugin's process: `serve` answers the engine that started it (heddle/udf_bridge/protocol.md).

import { join } from "node:path";
import { describeForPeople } from "../describe.js";
import type { Plugin } from "../plugin.js";
import { Calls } from "./calls.js";
import { listenOnControl } from "./control.js";
import { listenOnLanes } from "./lanes.js";
import { watchLifeline } from "./lifeline.js";
import { Limits } from "./limits.js";
import { Registry } from "./registry.js";
import { Segments } from "./segments.js";

const FOLDER_VARIABLE = "HEDDLE_PLUGIN_FOLDER";
const READY_LINE = "heddle-plugin 1\n";
/** How long the end of the process waits for cancelled calls before it closes what they use. */
const CALLS_WAIT_MS = 1000;

export async function serve(plugin: Plugin): Promise<void> {
  const folder = process.env[FOLDER_VARIABLE];
  if (!folder) {
    process.stdout.write(describeForPeople(plugin));
    return;
  }
  // What this process starts is no plugin.
  delete process.env[FOLDER_VARIABLE];
  const registry = new Registry(plugin);
  const calls = new Calls();
  const limits = new Limits();
  watchLifeline(folder, async () => {
    calls.cancelAll();
    await Promise.race([calls.drain(), new Promise((resolve) => setTimeout(resolve, CALLS_WAIT_MS))]);
    for (const problem of await registry.closeAll()) process.stderr.write(`heddle: ${problem}\n`);
  });
  outliveUserCode();
  await listenOnControl(join(folder, "control.sock"), plugin, registry, calls, limits);
  await listenOnLanes(join(folder, "lanes.sock"), { registry, calls, segments: new Segments() }, limits);
  process.stdout.write(READY_LINE);
}

/** What user code throws outside of a call, in a timer for instance, must not end the calls of others. */
function outliveUserCode(): void {
  const tell = (what: string, thrown: unknown) => {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    process.stderr.write(`heddle: ${what} outside of a call: ${text}\n`);
  };
  process.on("uncaughtException", (error) => tell("an exception", error));
  process.on("unhandledRejection", (reason) => tell("a rejected promise", reason));
}
