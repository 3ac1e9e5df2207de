// Steps that do something with their call.

import { setTimeout as sleep } from "node:timers/promises";
import { CancelledError, c, row, StepError, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

const LOOK_MS = 10;

plugin.step("fail", {
  config: { message: c.string(), transient: c.bool({ default: false }) },
  run({ config }): never {
    throw new StepError(config.message, { errorType: "ConformanceError", transient: config.transient });
  },
});

plugin.step("crash", { run: () => process.exit(3) });

plugin.step("sleep", {
  rows: "map",
  deterministic: true,
  config: { seconds: c.float() },
  async run(call) {
    const end = performance.now() + call.config.seconds * 1000;
    while (performance.now() < end) {
      if (call.cancelled) throw new CancelledError();
      await sleep(LOOK_MS);
    }
    return call.input;
  },
});

plugin.step("hang", {
  rows: "map",
  run({ input }) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return input;
  },
});

plugin.step("log", {
  rows: "map",
  config: { message: c.string() },
  run(call) {
    const { message } = call.config;
    const rows = call.input.numRows;
    call.log.info(message, { rows, step: call.step, key: call.idempotencyKey ?? "" });
    console.log(`out: ${message}`);
    console.error(`err: ${message}`);
    call.progress(rows, rows);
    call.metric("seen", rows, "rows");
    return call.input;
  },
});

plugin.source("context", {
  output: row({
    run_id: t.string,
    workflow: t.string,
    step: t.string,
    attempt: t.int,
    idempotency_key: t.string.nullable(),
    deadline: t.float.nullable(),
  }),
  run: (call) => ({
    run_id: [call.runId],
    workflow: [call.workflow],
    step: [call.step],
    attempt: [call.attempt],
    idempotency_key: [call.idempotencyKey],
    deadline: [call.deadlineS],
  }),
});

plugin.step("grow", {
  config: { mebibytes: c.int() },
  run({ input, config }) {
    const taken = Buffer.alloc(config.mebibytes * 2 ** 20, 1);
    if (taken.at(-1) === 0) throw new Error("the memory was not touched");
    return input;
  },
});

plugin.source("environment", {
  output: row({ value: t.string.nullable() }),
  config: { name: c.string() },
  run: ({ config }) => ({ value: [process.env[config.name]] }),
});

plugin.declare("declared");
