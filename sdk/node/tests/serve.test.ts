import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readValues } from "../src/arrow/values.js";
import { row, Table, t } from "../src/index.js";
import * as wire from "../src/wire/plugin.js";
import { type Answer, decoded, inline, PluginProcess, sliced, streamBytes, until, within } from "./engine.js";

const X = row({ x: t.int, name: t.string });
const SEGMENT_BYTES = 4 << 20;

function numbered(rows: number): Table {
  return Table.fromColumns(X, {
    x: BigInt64Array.from({ length: rows }, (_, i) => BigInt(i)),
    name: Array.from({ length: rows }, (_, i) => `row ${i}`),
  }) as unknown as Table;
}

let plugin: PluginProcess;

before(async () => {
  plugin = await PluginProcess.start();
});

after(() => plugin[Symbol.asyncDispose]());

function columnOf(answer: Answer, name: string, memory?: Uint8Array): unknown[] {
  return answer.batches.flatMap((batch) =>
    decoded(batch, memory).chunks.flatMap((chunk) => {
      const column = chunk.columns.find((other) => other.field.name === name);
      return column === undefined ? [] : readValues(column);
    }),
  );
}

test("it describes itself", async () => {
  const described = await plugin.ask<wire.DescribeResponse>("describe", {
    environment: { CONFORMANCE_REGION: "n" },
  });
  assert.equal(described.namespace, "conformance");
  assert.equal(described.steps.length, 21);
});

test("another protocol version is refused with the cure", async () => {
  const request = {
    protocolMin: 7,
    protocolMax: 9,
    engineVersion: "99",
    inlineBytesMax: 0,
    frameBytesMax: 0,
  };
  const answer = await plugin.ask<wire.HandshakeResponse>("handshake", request);
  assert.equal(answer.protocol, 0);
  assert.match(
    answer.failure?.message ?? "",
    /versions 7 to 9 .* speaks version 1; update the package `@heddle\/sdk`/,
  );
});

test("small rows travel inline, both ways", async () => {
  const lane = await plugin.lane();
  const answer = await lane.call(await plugin.bind("add", { amount: 10 }), { batch: inline(numbered(3)) });
  assert.equal(answer.failure, undefined);
  assert.deepEqual(columnOf(answer, "y"), [10n, 11n, 12n]);
  assert.deepEqual(columnOf(answer, "name"), ["row 0", "row 1", "row 2"]);
});

test("large rows lie in segments; untouched columns do not travel back", async () => {
  const lane = await plugin.lane();
  const binding = await plugin.bind("add", { amount: 1 });
  const { segment, memory } = plugin.segment(SEGMENT_BYTES);
  const output = plugin.segment(SEGMENT_BYTES);
  const bytes = streamBytes(numbered(50_000));
  memory.set(bytes, 64);
  const answer = await lane.call(binding, {
    batch: sliced(segment, bytes.byteLength, 64),
    grant: { segment: output.segment },
  });
  assert.equal(answer.failure, undefined);
  assert.deepEqual(answer.released, [segment.id]);
  assert.deepEqual(answer.batches[0]?.columns, [-1, -2, 0]);
  const y = columnOf(answer, "y", output.memory);
  assert.deepEqual([y.length, y[0], y.at(-1)], [50_000, 1n, 50_000n]);
});

test("an identity gives nothing back but its columns' numbers", async () => {
  const lane = await plugin.lane();
  const { segment, memory } = plugin.segment(SEGMENT_BYTES);
  const bytes = streamBytes(numbered(50_000));
  memory.set(bytes);
  const answer = await lane.call(await plugin.bind("identity"), { batch: sliced(segment, bytes.byteLength) });
  assert.deepEqual(answer.batches[0]?.columns, [-1, -2]);
  const rest = decoded(answer.batches[0]).chunks[0];
  assert.deepEqual([rest?.rows, rest?.columns.length], [50_000, 0]);
});

test("a grant that is too small is asked for anew; without one, rows go inline in parts", async () => {
  const lane = await plugin.lane();
  const binding = await plugin.bind("rebuild");
  const small = plugin.segment(1 << 16);
  const large = plugin.segment(SEGMENT_BYTES);
  const table = numbered(20_000);
  const asked: number[] = [];
  const granted = await lane.call(
    binding,
    { batch: inline(table), grant: { segment: small.segment } },
    (size) => {
      asked.push(size);
      return large.segment;
    },
  );
  assert.equal(asked.length, 1);
  assert.equal(columnOf(granted, "x", large.memory).length, 20_000);
  const ungranted = await lane.call(binding, { batch: inline(table) });
  assert.deepEqual(columnOf(ungranted, "name"), table.values("name"));
});

test("segments are used again, and unmapped when they are forgotten", async () => {
  const lane = await plugin.lane();
  const binding = await plugin.bind("total");
  const { segment, memory } = plugin.segment(SEGMENT_BYTES);
  for (let round = 1; round <= 20; round++) {
    const values = new BigInt64Array(50_000).fill(BigInt(round));
    const bytes = streamBytes(Table.fromColumns(row({ x: t.int }), { x: values }) as unknown as Table);
    memory.set(bytes);
    const answer = await lane.call(binding, { batch: sliced(segment, bytes.byteLength) });
    assert.deepEqual(columnOf(answer, "total"), [BigInt(round) * 50_000n]);
  }
  const maps = () => readFileSync(`/proc/${plugin.process.pid}/maps`, "utf8").split(segment.path).length - 1;
  assert.equal(maps(), 1);
  const churn = await plugin.bind("numbers", { count: 2_000_000, batch_rows: 8000 });
  await lane.call(churn, { forgotten: [segment.id] });
  for (let round = 0; maps() > 0 && round < 200; round++) await lane.call(churn);
  assert.equal(maps(), 0);
});

test("an input may come in several batches", async () => {
  const lane = await plugin.lane();
  lane.begin(await plugin.bind("total"), { batch: inline(numbered(3)), end: false });
  lane.send({ $case: "batch", value: inline(numbered(4)) });
  lane.send({ $case: "end", value: {} });
  assert.deepEqual(columnOf(await lane.answer(), "total"), [9n]);
});

test("what a step tells comes in its order", async () => {
  const lane = await plugin.lane();
  const answer = await lane.call(await plugin.bind("log", { message: "hello" }), {
    batch: inline(numbered(2)),
  });
  assert.deepEqual(
    answer.frames.map((frame) => frame.kind?.$case),
    ["log", "progress", "metric", "batch", "result"],
  );
  await until(
    () => plugin.stdout.includes("out: hello") && plugin.stderr.includes("err: hello"),
    "its output",
  );
});

test("a call is cancelled over the control channel, also before it came", async () => {
  const lane = await plugin.lane();
  const binding = await plugin.bind("sleep", { seconds: 600 });
  const callId = 77n;
  lane.begin(binding, { callId, batch: inline(numbered(1)) });
  await until(async () => (await plugin.ask<wire.HealthResponse>("health", {})).calls === 1, "the call");
  await plugin.ask("cancel", { callId });
  const { failure } = await lane.answer();
  assert.deepEqual([failure?.kind, failure?.errorType], [wire.Failure_Kind.CANCELLED, "CancelledError"]);
  await plugin.ask("cancel", { callId: 78n });
  const early = await lane.call(binding, { callId: 78n, batch: inline(numbered(1)) });
  assert.deepEqual(
    [early.failure?.kind, early.failure?.errorType],
    [wire.Failure_Kind.CANCELLED, "CancelledError"],
  );
});

test("a lane that is closed in mid-call cancels it", async () => {
  const lane = await plugin.lane();
  lane.begin(await plugin.bind("sleep", { seconds: 600 }), { batch: inline(numbered(1)) });
  const calls = async () => (await plugin.ask<wire.HealthResponse>("health", {})).calls;
  await until(async () => (await calls()) === 1, "the call");
  lane.socket.destroy();
  await until(async () => (await calls()) === 0, "its end");
});

test("bad inputs fail their call, and only it", async () => {
  const lane = await plugin.lane();
  const binding = await plugin.bind("identity");
  const garbage: wire.Batch = { place: { $case: "inline", value: new Uint8Array(100).fill(7) }, columns: [] };
  const short = plugin.segment(4096).segment;
  const gone = sliced({ id: 999n, path: "/dev/shm/heddle-node-none", sizeBytes: 4096n }, 4096);
  const { segment } = plugin.segment(4096);
  const outside = sliced(segment, 5000);
  const tooLarge = sliced({ ...short, sizeBytes: 1n << 20n }, 1 << 20);
  for (const batch of [garbage, gone, outside, tooLarge, { place: undefined, columns: [] }]) {
    const { failure } = await lane.call(binding, { batch });
    assert.equal(failure?.kind, wire.Failure_Kind.PROTOCOL);
  }
  const { failure } = await lane.call(12_345n, { batch: inline(numbered(1)) });
  assert.match(failure?.message ?? "", /there is no binding 12345/);
  assert.equal((await lane.call(binding, { batch: inline(numbered(1)) })).failure, undefined);
});

test("garbage closes the lane and nothing else", async () => {
  const tooLong = Buffer.alloc(4);
  tooLong.writeUInt32LE((16 << 20) + 1);
  const batchOutside = wire.EngineFrame.encode({ kind: { $case: "end", value: {} } }).finish();
  const pieces = [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.alloc(100_000, 0xff),
    tooLong,
    Buffer.from([3, 0, 0, 0, 0xff, 0xff, 0xff]),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from([16, 0, 0]),
    Buffer.concat([Buffer.from([batchOutside.byteLength, 0, 0, 0]), batchOutside]),
  ];
  for (const piece of pieces) {
    const socket = connect(`${plugin.folder}/lanes.sock`);
    const closed = new Promise<void>((resolve) =>
      socket.once("close", () => resolve()).on("error", () => {}),
    );
    socket.resume().end(piece);
    await within(closed, "the lane to be closed");
  }
  const lane = await plugin.lane();
  assert.equal(
    (await lane.call(await plugin.bind("identity"), { batch: inline(numbered(1)) })).failure,
    undefined,
  );
});

test("what user code throws outside of a call does not end the process", async () => {
  await using own = await PluginProcess.start(new URL("./stray.js", import.meta.url));
  const lane = await own.lane();
  const binding = await own.bind("stray");
  const said = (text: string) => own.stderr.some((line) => line.includes(text));
  assert.equal((await lane.call(binding, { batch: inline(numbered(1)) })).failure, undefined);
  await until(() => said("outside of a call: Error: thrown in a timer"), "the exception");
  await until(() => said("outside of a call: Error: rejected alone"), "the promise");
  await until(() => said("info: late rows=1"), "the log line");
  assert.equal((await lane.call(binding, { batch: inline(numbered(1)) })).failure, undefined);
});

test("resources live by their leases", async () => {
  const open = { type: "counter", name: "visits", configJson: '{"start": 5}', leaseS: 0.2 };
  const { resourceId } = await plugin.ask<wire.OpenResourceResponse>("openResource", open);
  const binding = await plugin.bind("count", {}, { counter: resourceId });
  const lane = await plugin.lane();
  assert.deepEqual(columnOf(await lane.call(binding), "count"), [5n]);
  await until(() => plugin.stderr.includes("counter closed at 5"), "the lease's end");
  const { failure } = await lane.call(binding);
  assert.equal(failure?.kind, wire.Failure_Kind.EXPIRED);
  assert.match(failure?.message ?? "", /the resource `visits` was closed, because nothing used it for 0.2 s/);
});

test("it drains: calls end, resources are closed, none begins", async () => {
  await using own = await PluginProcess.start();
  const open = { type: "counter", name: "c", configJson: "{}", leaseS: 0 };
  await own.ask("openResource", open);
  const lane = await own.lane();
  lane.begin(await own.bind("sleep", { seconds: 0.3 }), { batch: inline(numbered(1)) });
  await until(async () => (await own.ask<wire.HealthResponse>("health", {})).calls === 1, "the call");
  const { problems } = await own.ask<wire.DrainResponse>("drain", {});
  assert.deepEqual(problems, []);
  assert.equal((await lane.answer()).failure, undefined);
  assert(own.stderr.includes("counter closed at 0"));
  const refused = await lane.call(await own.bind("identity"), { batch: inline(numbered(1)) });
  assert.equal(refused.failure?.errorType, "Draining");
});

test("it ends with the engine, and leaves nothing", async () => {
  await using own = await PluginProcess.start();
  await own.ask("openResource", { type: "counter", name: "c", configJson: "{}", leaseS: 0 });
  own.process.stdin?.end();
  assert.equal(await within(own.ended, "its end"), 0);
  assert(own.stderr.includes("counter closed at 0"));
  assert(!existsSync(own.folder));
});

test("it ends with the engine also while a step hangs", async () => {
  await using own = await PluginProcess.start();
  const lane = await own.lane();
  lane.begin(await own.bind("hang"), { batch: inline(numbered(1)) });
  await new Promise((resolve) => setTimeout(resolve, 200));
  own.process.stdin?.end();
  await within(own.ended, "its end");
  assert(!existsSync(own.folder));
});

test("SIGINT is ignored, SIGTERM ends it", async () => {
  await using own = await PluginProcess.start();
  own.process.kill("SIGINT");
  await own.bind("identity");
  own.process.kill("SIGTERM");
  assert.equal(await within(own.ended, "its end"), 0);
  assert(!existsSync(own.folder));
});

test("started by hand, it says what it offers", () => {
  const main = fileURLToPath(new URL("../example/main.js", import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [main], {
    encoding: "utf8",
    env: { PATH: process.env.PATH },
  });
  assert.equal(status, 0);
  assert.match(stdout, /^plugin links 0\.1\.0/);
  assert.match(stdout, /step normalise <blocklist: blocklist> \{ fragments: "keep" or "drop" = "drop" \}/);
  assert.match(stdout, /resource blocklist \{ hosts: list of string = \[\], path: string or null = null \}/);
});
