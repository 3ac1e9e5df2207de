// Steps that do something with rows.

import { c, row, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

const openX = row({ x: t.int }).open();

plugin.step("identity", { rows: "map", deterministic: true, run: ({ input }) => input });

plugin.step("rebuild", { rows: "map", deterministic: true, run: ({ input }) => input.copy() });

plugin.step("add", {
  input: openX,
  output: row({ x: t.int, y: t.int }).open(),
  rows: "map",
  passthrough: true,
  deterministic: true,
  config: { amount: c.bigint() },
  run({ input, config }) {
    const y = new BigInt64Array(input.numRows);
    let at = 0;
    for (const { values } of input.column("x").data) {
      for (let row = 0; row < values.length; row++) {
        const x = values[row] as bigint;
        const sum = x + config.amount;
        if (BigInt.asIntN(64, sum) !== sum) throw new RangeError(`${x} + ${config.amount} is no int`);
        y[at++] = sum;
      }
    }
    return input.with("y", y, t.int);
  },
});

plugin.step("reject_negative", {
  input: openX,
  output: openX,
  rows: "map",
  passthrough: true,
  deterministic: true,
  run(call) {
    call.input.values("x").forEach((x, row) => {
      if (x < 0n) call.reject(row, "x is negative", "Negative");
    });
    return call.input;
  },
});

plugin.step("keep_even", {
  input: openX,
  output: openX,
  rows: "filter",
  passthrough: true,
  deterministic: true,
  run({ input }) {
    const x = input.values("x");
    return input.filter((row) => (x[row] as bigint) % 2n === 0n);
  },
});

plugin.step("repeat", {
  input: openX,
  output: openX,
  rows: "flat",
  passthrough: true,
  deterministic: true,
  config: { times: c.int({ default: 2 }) },
  run({ input, config }) {
    const times = Math.max(config.times, 0);
    return input.take(Float64Array.from({ length: input.numRows * times }, (_, i) => Math.floor(i / times)));
  },
});

plugin.step("total", {
  input: row({ x: t.int }),
  output: row({ total: t.int }),
  deterministic: true,
  run({ input }) {
    let total = 0n;
    for (const { values } of input.column("x").data) for (const x of values) total += x;
    return { total: [total] };
  },
});

plugin.source("numbers", {
  output: row({ n: t.int }),
  deterministic: true,
  config: { count: c.int(), batch_rows: c.int({ default: 1000 }) },
  *run({ config }) {
    for (let start = 0; start < config.count; start += config.batch_rows) {
      const rows = Math.min(config.batch_rows, config.count - start);
      yield { n: BigInt64Array.from({ length: rows }, (_, i) => BigInt(start + i)) };
    }
  },
});
