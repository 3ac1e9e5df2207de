// How long calls of `identity` and `add` take, seen from a client on the lane: `npm run bench`.

import { row, Table, t } from "../src/index.js";
import { inline, PluginProcess } from "./engine.js";

const CALLS = 5000;

await using plugin = await PluginProcess.start();
const lane = await plugin.lane();
for (const rows of [1, 1000]) {
  const x = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i));
  const batch = inline(Table.fromColumns(row({ x: t.int }), { x }) as unknown as Table);
  for (const [step, config] of [
    ["identity", {}],
    ["add", { amount: 1 }],
  ] as const) {
    const binding = await plugin.bind(step, config);
    const times: number[] = [];
    for (let i = 0; i < 2 * CALLS; i++) {
      const begin = performance.now();
      await lane.call(binding, { batch });
      if (i >= CALLS) times.push((performance.now() - begin) * 1000);
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => Math.round(times[Math.floor(CALLS * part)] as number);
    console.log(`${step}, ${rows} rows: ${at(0.5)} µs (p99 ${at(0.99)} µs)`);
  }
}
