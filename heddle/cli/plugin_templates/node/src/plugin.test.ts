import assert from "node:assert/strict";
import { test } from "node:test";
import { runStep } from "@heddle/sdk/testing";
import { plugin } from "./plugin.js";

test("words are counted", async () => {
  const { rows } = await runStep(plugin, "count_words", { input: [{ text: " to be  or not" }, { text: "stop" }] });
  assert.deepEqual(rows, [{ words: 4n }, { words: 1n }]);
});

test("short texts are rejected", async () => {
  const input = [{ text: "one two" }, { text: "" }];
  const { rejected } = await runStep(plugin, "count_words", { input, config: { least: 2 } });
  assert.deepEqual([...rejected], [[1, "fewer than 2 words"]]);
});

test("settings are checked", async () => {
  await assert.rejects(
    runStep(plugin, "count_words", { input: [], config: { least: "two" } }),
    /the setting `least` is a string where int is wanted/,
  );
});
