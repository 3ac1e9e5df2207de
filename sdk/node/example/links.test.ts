import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runStep, settings } from "@heddle/sdk/testing";
import { Blocklist } from "./blocklist.js";
import { plugin } from "./plugin.js";
import "./extract.js";
import "./lines.js";
import "./normalise.js";

let base: string;

before(async () => {
  base = await mkdtemp(join(tmpdir(), "links-"));
});

after(() => rm(base, { recursive: true }));

test("links are put into one form", async () => {
  const input = [{ url: "HTTPS://Example.com/a?utm_source=x&b=2&a=1#top" }];
  const dropped = await runStep(plugin, "normalise", { input });
  assert.deepEqual(dropped.rows, [{ url: "https://example.com/a?a=1&b=2", host: "example.com" }]);
  const kept = await runStep(plugin, "normalise", { input, config: { fragments: "keep" } });
  assert.equal(kept.rows[0]?.url, "https://example.com/a?a=1&b=2#top");
  assert.deepEqual(kept.metrics, [{ name: "links", value: 1, unit: "rows" }]);
});

test("what is no link to a page is rejected", async () => {
  const input = [{ url: "https://example.com/" }, { url: "mailto:a@example.com" }, { url: "nonsense" }];
  const { rejections } = await runStep(plugin, "normalise", { input });
  assert.deepEqual(rejections, [{ rows: [1, 2], reason: "not a link to a page", errorType: "NotAPage" }]);
});

test("links to hosts on the blocklist are rejected", async () => {
  const path = join(base, "blocked.txt");
  await writeFile(path, "# ours\nbad.example\n");
  const input = [
    { url: "https://bad.example/" },
    { url: "https://www.bad.example/" },
    { url: "https://worse.example/" },
    { url: "https://good.example/" },
  ];
  const trial = { input, resources: { blocklist: settings({ hosts: ["worse.example"], path }) } };
  const { rejected } = await runStep(plugin, "normalise", trial);
  assert.deepEqual([...rejected.keys()], [0, 1, 2]);
});

test("a stand-in serves as the blocklist too", async () => {
  const resources = { blocklist: new Blocklist(["example.com"]) };
  const { rejected } = await runStep(plugin, "normalise", {
    input: [{ url: "http://example.com" }],
    resources,
  });
  assert.equal(rejected.get(0), "its host is on the blocklist");
});

test("a blocklist that cannot be read says so", async () => {
  const resources = { blocklist: settings({ path: join(base, "none.txt") }) };
  await assert.rejects(
    runStep(plugin, "normalise", { input: [], resources }),
    /the blocklist cannot be read/,
  );
});

test("a setting that does not fit is refused", async () => {
  await assert.rejects(
    runStep(plugin, "normalise", { input: [], config: { fragments: "no" } }),
    /the setting `fragments` is a string where "keep" or "drop" is wanted/,
  );
});

test("each link of a text becomes a row", async () => {
  const input = [
    { id: "a", text: "see https://a.example/x, and (http://b.example)." },
    { id: "b", text: "nothing" },
  ];
  const { rows, logs } = await runStep(plugin, "extract", { input });
  assert.deepEqual(
    rows.map(({ id, url }) => [id, url]),
    [
      ["a", "https://a.example/x"],
      ["a", "http://b.example"],
    ],
  );
  assert.deepEqual(logs[0]?.fields, { texts: "2", links: "2" });
});

test("a file is read in batches", async () => {
  await writeFile(join(base, "three.txt"), "one\ntwo\r\nthree");
  const config = { path: "three.txt", batch_rows: 2 };
  const { rows } = await runStep(plugin, "read_lines", { config, context: { base } });
  assert.deepEqual(rows, [
    { line: 1n, text: "one" },
    { line: 2n, text: "two" },
    { line: 3n, text: "three" },
  ]);
});

test("links are written at the end of a file", async () => {
  const trial = { input: [{ url: "a" }, { url: "b" }], config: { path: "out.txt" }, context: { base } };
  const { table } = await runStep(plugin, "write_lines", trial);
  assert.equal(table, undefined);
  await runStep(plugin, "write_lines", trial);
  assert.equal(await readFile(join(base, "out.txt"), "utf8"), "a\nb\na\nb\n");
});
