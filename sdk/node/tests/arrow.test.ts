import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as arrow from "apache-arrow";
import type { Chunk, Column } from "../src/arrow/column.js";
import { concatChunks } from "../src/arrow/concat.js";
import { columnOf, vectorOf } from "../src/arrow/interop.js";
import { readStream, StreamError } from "../src/arrow/reader.js";
import { sliceChunk, takeChunk } from "../src/arrow/rows.js";
import { readValues } from "../src/arrow/values.js";
import { encodeStream } from "../src/arrow/writer.js";

/** A column of every Arrow type in two batches, written by golden/make.py. */
const bytes = new Uint8Array(readFileSync(new URL("../../tests/golden/types.arrows", import.meta.url)));
const { schema, chunks } = readStream(bytes);
const both = chunks as readonly [Chunk, Chunk];
const NOT_IN_APACHE_ARROW = ["list_view", "large_list_view", "run_end_encoded"];

function valuesOf(parts: readonly Chunk[]): Record<string, unknown[]> {
  const names = schema.fields.map((field) => field.name);
  const columns = names.map((_, i) => parts.flatMap((chunk) => readValues(chunk.columns[i] as Column)));
  return Object.fromEntries(names.map((name, i) => [name, columns[i] as unknown[]]));
}

function chosen(rows: readonly number[]): Record<string, unknown[]> {
  const all = Object.entries(valuesOf(both));
  return Object.fromEntries(all.map(([name, values]) => [name, rows.map((row) => values[row])]));
}

test("values of every type are read", () => {
  const values = valuesOf(both);
  assert.equal(schema.fields.length, 46);
  assert.deepEqual(values.int64?.slice(0, 4), [5n, null, -(2n ** 63n), 2n ** 63n - 1n]);
  assert.deepEqual(values.float16?.slice(0, 4), [1.5, null, -0.25, 5]);
  assert.deepEqual(values.string?.slice(4), ["a", null, "žluť 🐎", "6"]);
  assert.deepEqual(values.string_view?.[3], "longer than twelve bytes 5");
  assert.deepEqual(values.binary?.[0], new Uint8Array([0, 255]));
  assert.deepEqual(values.date32?.[0], new Date("2026-03-01"));
  assert.equal(values.timestamp_zone?.[0], 1_772_368_215_123_456n);
  assert.deepEqual(values.interval?.[0], { months: 1, days: 2, nanoseconds: 3n });
  assert.equal(values.decimal128?.[2], "-99999999999999999999.25");
  assert.equal(values.decimal256?.[2], "-0.25");
  assert.deepEqual(values.list_view?.slice(0, 4), [[1n], null, [], [5n]]);
  assert.deepEqual(values.nested?.[2], [{ a: null }, { a: [] }]);
  assert.deepEqual(
    values.map?.[3],
    new Map([
      ["b", 5n],
      ["c", null],
    ]),
  );
  assert.deepEqual(values.dictionary, ["a", null, "b5", "a", "a", null, "b6", "a"]);
  assert.deepEqual(values.list_of_dictionaries?.[2], ["y", "x"]);
  assert.deepEqual(values.run_end_encoded?.slice(4), ["a", "a", null, "b6"]);
  assert.deepEqual(values.dense_union?.slice(0, 4), [1n, "x", 5n, "y5"]);
  assert.deepEqual(values.sparse_union?.slice(0, 4), [1n, "x", 5n, "z5"]);
});

test("what is written is read again", () => {
  const again = readStream(encodeStream(schema, both).toBytes());
  assert.deepEqual(again.schema, schema);
  assert.deepEqual(valuesOf(again.chunks), valuesOf(both));
});

test("apache-arrow reads what is written", () => {
  const places = schema.fields.map((field, i) => [field.name, i] as const);
  const known = places.filter(([name]) => !NOT_IN_APACHE_ARROW.includes(name)).map(([, i]) => i);
  const part = { fields: known.map((i) => schema.fields[i] as (typeof schema.fields)[number]) };
  const parts = both.map((chunk) => ({
    ...chunk,
    schema: part,
    columns: known.map((i) => chunk.columns[i] as Column),
  }));
  const table = arrow.tableFromIPC(encodeStream(part, parts).toBytes());
  assert.equal(table.numRows, 8);
  assert.deepEqual([...(table.getChild("int64") ?? [])].slice(0, 2), [5n, null]);
  assert.deepEqual([...(table.getChild("dictionary") ?? [])], valuesOf(both).dictionary);
  assert.deepEqual([...(table.getChild("string") ?? [])], valuesOf(both).string);
});

test("rows of every type are taken, cut and put together", () => {
  assert.deepEqual(
    valuesOf(both.map((chunk) => takeChunk(chunk, [3, 0, 0, 2]))),
    chosen([3, 0, 0, 2, 7, 4, 4, 6]),
  );
  assert.deepEqual(valuesOf(both.map((chunk) => sliceChunk(chunk, 1, 3))), chosen([1, 2, 5, 6]));
  assert.deepEqual(valuesOf([concatChunks(both)]), valuesOf(both));
  const middles = both.map((chunk) => sliceChunk(chunk, 1, 4));
  assert.deepEqual(valuesOf([takeChunk(concatChunks(middles), [5, 0, 2])]), chosen([7, 1, 3]));
  assert.deepEqual(valuesOf(both.map((chunk) => sliceChunk(chunk, 2, 2))), chosen([]));
});

test("many rows are taken and cut as few are", () => {
  const many = concatChunks(Array.from({ length: 40 }, () => both[0]));
  const rows = Array.from({ length: 100 }, (_, i) => (i * 37) % 160);
  assert.deepEqual(valuesOf([takeChunk(many, rows)]), chosen(rows.map((row) => row % 4)));
  const cut = Array.from({ length: 101 }, (_, i) => (i + 9) % 4);
  assert.deepEqual(valuesOf([sliceChunk(many, 9, 110)]), chosen(cut));
});

test("columns go to apache-arrow and come back without a copy", () => {
  schema.fields.forEach((field, i) => {
    const columns = both.map((chunk) => chunk.columns[i] as Column);
    if (NOT_IN_APACHE_ARROW.includes(field.name)) {
      assert.throws(() => vectorOf(columns, undefined), /apache-arrow does not have/, field.name);
      return;
    }
    const vector = vectorOf(columns, undefined);
    assert.equal(vector.length, 8, field.name);
    const same = columnOf(vector.data[0] as arrow.Data, field);
    assert.deepEqual(same.buffers, columns[0]?.buffers);
    assert.deepEqual(
      readValues(columnOf(vector.slice(1, 3).data[0] as arrow.Data, field)),
      chosen([1, 2])[field.name],
    );
  });
});

test("columns are read where they lie", () => {
  const memory = new Uint8Array(bytes.byteLength + 64);
  const place = memory.subarray(64);
  place.set(bytes);
  const found = readStream(place).chunks[0]?.columns.find(
    (column) => column.field.name === "int64",
  ) as Column;
  const values = vectorOf([found], undefined).data[0]?.values as BigInt64Array;
  assert.equal(values.buffer, memory.buffer);
  memory[values.byteOffset] = 99;
  assert.equal(values[0], 99n);
});

test("bytes that are no stream are refused", () => {
  const short = bytes.slice(0, 3000);
  for (const data of [
    new Uint8Array(0),
    new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]),
    short,
    new Uint8Array(64).fill(255),
  ]) {
    assert.throws(() => readStream(data), StreamError);
  }
});

test("damaged streams never do worse than throw", () => {
  let state = 1;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state % below;
  };
  for (let round = 0; round < 400; round++) {
    const damaged = bytes.slice();
    for (let i = 0; i < 3; i++) damaged[random(bytes.byteLength)] = random(256);
    try {
      readStream(damaged);
    } catch (error) {
      assert(error instanceof StreamError, String(error));
    }
  }
});
