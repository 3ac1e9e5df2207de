import { createReadStream } from "node:fs";
import { appendFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { c, row, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

plugin.source("read_lines", {
  doc: "The lines of a text file, as they are read.",
  output: row({ line: t.int, text: t.string }),
  config: {
    path: c.string({ doc: "Relative to the program's folder." }),
    batch_rows: c.int({ default: 1000 }),
  },
  async *run({ config, base, signal }) {
    const file = createReadStream(resolve(base, config.path), { signal });
    let first = 1;
    let lines: string[] = [];
    const batch = () => ({ line: lines.map((_, i) => first + i), text: lines });
    for await (const line of createInterface({ input: file, crlfDelay: Number.POSITIVE_INFINITY })) {
      lines.push(line);
      if (lines.length < config.batch_rows) continue;
      yield batch();
      first += lines.length;
      lines = [];
    }
    yield batch();
  },
});

plugin.sink("write_lines", {
  doc: "Writes links at the end of a text file, one a line.",
  input: row({ url: t.string }),
  effect: true,
  config: { path: c.string({ doc: "Relative to the program's folder." }) },
  async run({ input, config, base }) {
    const lines = input.values("url").map((url) => `${url}\n`);
    await appendFile(resolve(base, config.path), lines.join(""));
  },
});
