// Steps that Heddle programs import with `import "__NAME__"`.

import { c, Plugin, row, t } from "@heddle/sdk";

export const plugin = new Plugin({ namespace: "__NAME__", version: "0.1.0", doc: "Counts words." });

plugin.step("count_words", {
  doc: "The number of words of each text; a text with fewer than `least` is rejected.",
  input: row({ text: t.string }),
  output: row({ words: t.int }),
  rows: "map",
  passthrough: true,
  deterministic: true,
  config: { least: c.int({ default: 1, doc: "Texts with fewer words are rejected." }) },
  run(call) {
    const { least } = call.config;
    const words = call.input.values("text").map((text, row) => {
      const count = text.match(/\S+/g)?.length ?? 0;
      if (count < least) call.reject(row, `fewer than ${least} words`, "TooShort");
      return count;
    });
    return { words };
  },
});
