import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type arrow,
  CancelledError,
  c,
  InputEndedError,
  optional,
  Plugin,
  row,
  StepError,
  type Table,
  TransientError,
  t,
} from "../src/index.js";
import { runStep, settings } from "../src/testing.js";

const X = row({ x: t.int });
const closed: string[] = [];
const kept: { table?: Table; vector?: arrow.Vector; array?: BigInt64Array; copy?: Table } = {};

const plugin = new Plugin({ namespace: "test" });

const store = plugin.resource("store", {
  config: { name: c.string({ default: "s" }) },
  open: ({ name }) => ({ name, rows: 0 }),
  close: ({ name }) => {
    closed.push(name);
  },
});

plugin.step("double", {
  input: X,
  output: X,
  rows: "map",
  run: ({ input }) => ({ x: input.values("x").map((x) => x * 2n) }),
});

plugin.step("later", {
  input: X.open(),
  async run({ input }) {
    await new Promise((resolve) => setImmediate(resolve));
    return input.toArrow();
  },
});

plugin.step("odd_out", {
  input: X,
  output: X,
  rows: "map",
  run(call) {
    call.reject(
      call.input.values("x").flatMap((x, row) => (x % 2n === 0n ? [] : [row])),
      "odd",
    );
    call.reject([0], "first", "First");
    return call.input;
  },
});

plugin.source("count_up", {
  output: X,
  config: { to: c.int() },
  async *run({ config, signal }) {
    for (let x = 0; x < config.to; x++) {
      signal.throwIfAborted();
      yield { x: [x] };
    }
  },
});

plugin.sink("save", {
  input: X,
  effect: true,
  resources: { store, cache: optional(store) },
  run({ input, resources }) {
    resources.store.rows += input.numRows;
    assert.equal(resources.cache, undefined);
  },
});

plugin.step("keep", {
  input: X,
  output: X,
  run({ input }) {
    kept.table = input as unknown as Table;
    kept.vector = input.column("x");
    kept.array = kept.vector.toArray() as BigInt64Array;
    kept.copy = input.copy() as unknown as Table;
    return input;
  },
});

plugin.step("keep_copied", {
  input: X,
  output: X,
  copyInput: true,
  run({ input }) {
    kept.table = input as unknown as Table;
    return input;
  },
});

plugin.step("wrong", {
  output: row({ a: t.int }),
  config: { how: c.string() },
  run: ({ config }) =>
    ({ nothing: undefined, text: "x", missing: {}, extra: { a: [1], b: [2] }, value: { a: ["x"] } })[
      config.how
    ] as never,
});

plugin.step("fail", {
  config: { how: c.string() },
  run({ config }): never {
    class OwnError extends Error {}
    const errors: Record<string, unknown> = {
      own: new OwnError("mine"),
      system: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }),
      transient: new TransientError("later"),
      typed: new StepError("typed", { errorType: "Typed", cause: new Error("why") }),
      text: "just text",
    };
    throw errors[config.how];
  },
});

plugin.step("infer_too", { infer: () => row({ a: t.int }), run: ({ input }) => input });
plugin.declare("declared", { input: X, output: X });

const input = [{ x: 1 }, { x: 2 }, { x: 4 }];

test("a step gives columns", async () => {
  const { rows } = await runStep(plugin, "double", { input });
  assert.deepEqual(rows, [{ x: 2n }, { x: 4n }, { x: 8n }]);
});

test("an async step gives a table of apache-arrow, with columns it did not name", async () => {
  const { rows } = await runStep(plugin, "later", { input: [{ x: 1, other: "o" }] });
  assert.deepEqual(rows, [{ x: 1n, other: "o" }]);
});

test("rows are rejected, with their first reason", async () => {
  const { rejections, rejected } = await runStep(plugin, "odd_out", { input: [...input, { x: 7 }] });
  assert.deepEqual(rejections, [{ rows: [0, 3], reason: "odd", errorType: "Rejected" }]);
  assert.deepEqual(
    [...rejected],
    [
      [0, "odd"],
      [3, "odd"],
    ],
  );
});

test("a generator streams", async () => {
  const { table, rows } = await runStep(plugin, "count_up", { config: { to: 3 } });
  assert.equal(table?.numRows, 3);
  assert.deepEqual(rows, [{ x: 0n }, { x: 1n }, { x: 2n }]);
});

test("a cancelled call sees it in its signal", async () => {
  const trial = { config: { to: 3 }, signal: AbortSignal.abort() };
  await assert.rejects(runStep(plugin, "count_up", trial), CancelledError);
});

test("resources are opened and closed", async () => {
  const own = { name: "own", rows: 0 };
  await runStep(plugin, "save", { input, resources: { store: own } });
  assert.equal(own.rows, 3);
  const { table } = await runStep(plugin, "save", {
    input,
    resources: { store: settings({ name: "mine" }) },
  });
  assert.equal(table, undefined);
  assert.deepEqual(closed, ["mine"]);
  await assert.rejects(
    runStep(plugin, "save", { input }),
    /`test.save` needs a resource in its slot `store`/,
  );
  await assert.rejects(
    runStep(plugin, "save", { input, resources: { stor: own } }),
    /no slot `stor`; did you mean `store`\?/,
  );
});

test("an input that was kept cannot be read any more", async () => {
  await runStep(plugin, "keep", { input });
  const ended = /read after the step had ended.*table\.copy\(\)/;
  assert.throws(() => kept.table?.values("x"), ended);
  assert.throws(() => kept.table?.filter(() => true), InputEndedError);
  assert.throws(() => kept.table?.copy(), InputEndedError);
  assert.throws(() => kept.vector?.get(0), InputEndedError);
  assert.throws(() => kept.vector?.toArray(), InputEndedError);
  assert.equal(kept.array?.[0], undefined, "in tests the memory itself is gone");
  assert.deepEqual(kept.copy?.values("x"), [1n, 2n, 4n]);
});

test("a step with copyInput keeps what it likes", async () => {
  await runStep(plugin, "keep_copied", { input });
  assert.deepEqual(kept.table?.values("x"), [1n, 2n, 4n]);
});

test("what a step returns is held against its declaration", async () => {
  const cases = {
    nothing: /`test.wrong` returned nothing where a table is wanted/,
    text: /`test.wrong` returned a string where a table is wanted/,
    missing: /did not return the column `a`/,
    extra: /returned the column `b`, which it does not declare/,
    value: /`a` is int, but row 0 has a string/,
  };
  for (const [how, message] of Object.entries(cases)) {
    await assert.rejects(runStep(plugin, "wrong", { input: [], config: { how } }), message);
  }
});

test("errors keep their names", async () => {
  const { failureOf } = await import("../src/errors.js");
  const failure = async (how: string) =>
    failureOf(await runStep(plugin, "fail", { input: [], config: { how } }).catch((error: unknown) => error));
  assert.equal((await failure("own")).errorType, "OwnError");
  const system = await failure("system");
  assert.deepEqual([system.errorType, system.transient], ["ECONNREFUSED", true]);
  assert.equal((await failure("transient")).transient, true);
  const typed = await failure("typed");
  assert.equal(typed.errorType, "Typed");
  assert.match(typed.stackTrace, /steps\.test\.js.*caused by: Error: why/s);
  assert.doesNotMatch(typed.stackTrace, /bound_step/);
  assert.match((await failure("text")).message, /just text/);
});

test("what is not there is named", async () => {
  await assert.rejects(runStep(plugin, "dubble", { input }), /has no step `dubble`; did you mean `double`\?/);
  await assert.rejects(runStep(plugin, "declared", { input }), /`test.declared` is declared but has no body/);
});

test("declarations that contradict themselves are refused", () => {
  const other = new Plugin({ namespace: "other" });
  other.step("a", { run: ({ input }) => input });
  assert.throws(() => other.step("a", { run: ({ input }) => input }), /step `a` is there twice/);
  assert.throws(() => other.step("no name", { run: ({ input }) => input }), /letters, digits and `_`/);
  assert.throws(
    () => other.step("b", { deterministic: true, effect: true, run: ({ input }) => input }),
    /deterministic and effect exclude each other/,
  );
  assert.throws(
    () => other.step("c", { rows: "each" as never, run: ({ input }) => input }),
    /rows is "each"/,
  );
  assert.throws(() => other.resource("d", { config: { n: c.int({ default: 0.5 }) }, open: () => 0 }), /`n`/);
});
