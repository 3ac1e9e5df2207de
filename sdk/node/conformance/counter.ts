// A number that calls may add to, and the steps that use it.

import { c, row, StepError, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

class Counter {
  constructor(public number: bigint) {}
}

const counter = plugin.resource("counter", {
  config: {
    start: c.bigint({ default: 0n }),
    fail: c.bool({ default: false }),
    token: c.secret({ default: "" }),
  },
  open({ start, fail }) {
    if (fail) throw new StepError("the counter is broken", { errorType: "CounterBroken", transient: true });
    return new Counter(start);
  },
  health: ({ number }) => (number < 0n ? "the counter is negative" : undefined),
  close: ({ number }) => {
    process.stderr.write(`counter closed at ${number}\n`);
  },
});

plugin.sink("sink", {
  effect: true,
  resources: { counter },
  run({ input, resources }) {
    resources.counter.number += BigInt(input.numRows);
  },
});

plugin.source("count", {
  output: row({ count: t.int }),
  resources: { counter },
  run: ({ resources }) => ({ count: [resources.counter.number] }),
});
