import assert from "node:assert/strict";
import { test } from "node:test";
import { anyRow, arrow, Row, row, Table, TableError, t } from "../src/index.js";

const People = row({ id: t.int, name: t.string, age: t.int.nullable() });

function people(): Table<(typeof People)["shape"]> {
  return Table.fromRows(People, [
    { id: 1, name: "Ada", age: 36 },
    { id: 2n, name: "Bo" },
    { id: 3, name: "Cy", age: null },
  ]);
}

/** The same rows in three batches, one of them empty. */
function inParts(): Table<(typeof People)["shape"]> {
  const whole = people();
  return Table.concat([whole.slice(0, 1), whole.slice(1, 1), whole.slice(1)]);
}

test("rows go in and come out", () => {
  assert.deepEqual(people().rows(), [
    { id: 1n, name: "Ada", age: 36n },
    { id: 2n, name: "Bo", age: null },
    { id: 3n, name: "Cy", age: null },
  ]);
  assert.equal(String(people()), "Table {id: int, name: string, age: int?} (3 rows)");
});

test("values of every type of Heddle go in and come out", () => {
  const types = row({
    int: t.int,
    float: t.float,
    string: t.string,
    bool: t.bool,
    timestamp: t.timestamp,
    date: t.date,
    time: t.time,
    duration: t.duration,
    binary: t.binary,
    json: t.json,
    decimal: t.decimal(10, 2),
    wide: t.decimal(60, 0),
    list: t.list(t.string.nullable()),
    struct: t.struct({ a: t.int, b: t.list(t.float) }),
    arrow: t.arrow(new arrow.Int16()),
  });
  const values = {
    int: -1n,
    float: 0.5,
    string: "ž",
    bool: true,
    timestamp: 1_000_001n,
    date: new Date("1969-12-31"),
    time: 5n,
    duration: -5n,
    binary: new Uint8Array([0, 255]),
    json: "{}",
    decimal: "-12.50",
    wide: "9".repeat(60),
    list: ["a", null],
    struct: { a: 1n, b: [1.5] },
    arrow: -7,
  };
  const table = Table.fromRows(types, [values, values]);
  assert.deepEqual(table.rows(), [values, values]);
  assert.deepEqual(table.copy().take([1]).rows(), [values]);
  assert.deepEqual(Table.fromArrow(table.toArrow()).rows(), [values, values]);
});

test("nullable columns of every type hold nulls", () => {
  const types = row({
    bool: t.bool.nullable(),
    date: t.date.nullable(),
    list: t.list(t.int).nullable(),
    struct: t.struct({ a: t.string, b: t.bool }).nullable(),
    decimal: t.decimal(5, 1).nullable(),
  });
  const nothing = { bool: null, date: null, list: null, struct: null, decimal: null };
  const something = {
    bool: false,
    date: new Date(0),
    list: [1n],
    struct: { a: "", b: true },
    decimal: "0.5",
  };
  assert.deepEqual(Table.fromRows(types, [nothing, something]).rows(), [nothing, something]);
});

test("columns of apache-arrow's other types are made too", () => {
  const words = t.arrow(new arrow.Dictionary(new arrow.Utf8(), new arrow.Int32()));
  const pairs = t.arrow(
    new arrow.Map_(
      new arrow.Field(
        "entries",
        new arrow.Struct([
          new arrow.Field("key", new arrow.Utf8(), false),
          new arrow.Field("value", new arrow.Int32(), true),
        ]),
      ) as never,
    ),
  );
  const triple = t.arrow(new arrow.FixedSizeList(2, new arrow.Field("item", new arrow.Float32(), true)));
  const table = Table.fromColumns(row({ words, pairs, triple }), {
    words: ["a", "b", "a"],
    pairs: [new Map([["x", 1]]), {}, { y: null }],
    triple: [
      [1, 2],
      [3, null],
      [5, 6],
    ],
  });
  assert.deepEqual(table.rows()[0], { words: "a", pairs: new Map([["x", 1]]), triple: [1, 2] });
  assert.deepEqual(table.values("words"), ["a", "b", "a"]);
});

test("values that do not fit are refused with their place", () => {
  const cases: [Row, Record<string, unknown>[], RegExp][] = [
    [row({ a: t.int }), [{ a: 1 }, { a: 1.5 }], /`a` is int, but row 1 has the number 1.5/],
    [row({ a: t.int }), [{ a: 2n ** 63n }], /row 0 has the number 9223372036854775808/],
    [row({ a: t.int }), [{}], /`a` is int, but row 0 has no value/],
    [row({ a: t.string }), [{ a: 7 }], /`a` is string, but row 0 has the number 7/],
    [row({ a: t.date }), [{ a: new Date("never") }], /`a` is date, but row 0 has Date/],
    [row({ a: t.decimal(4, 1) }), [{ a: "1.25" }], /`a` is decimal\(4,1\)/],
    [row({ a: t.decimal(4, 1) }), [{ a: "1000.0" }], /`a` is decimal\(4,1\)/],
    [row({ a: t.list(t.int) }), [{ a: "x" }], /`a` is list<int>, but row 0 has a string/],
    [row({ a: t.bool.nullable() }), [{ a: "yes" }], /`a` is bool\?, but row 0 has a string/],
    [row({ a: t.struct({ b: t.int }) }), [{ a: {} }], /`b` is int, but row 0 has no value/],
  ];
  for (const [type, rows, message] of cases) {
    assert.throws(() => Table.fromRows(type, rows as never), { name: "TableError", message });
  }
});

test("typed arrays are taken as they are", () => {
  const values = new BigInt64Array([1n, 2n]);
  const table = Table.fromColumns(row({ a: t.int }), { a: values });
  assert.equal((table.column("a").toArray() as BigInt64Array).buffer, values.buffer);
});

test("columns are added, replaced, chosen and dropped", () => {
  for (const table of [people(), inParts()]) {
    const older = table.with("age", [37, null, 1n]);
    assert.deepEqual(older.values("age"), [37n, null, 1n]);
    assert.deepEqual(older.names, ["id", "name", "age"]);
    const marked = table.with("mark", [true, false, true], t.bool).select("mark", "id");
    assert.deepEqual(marked.rows()[1], { mark: false, id: 2n });
    assert.deepEqual(marked.without("mark").names, ["id"]);
    const lengths = arrow.vectorFromArray([3, 2, 2], new arrow.Int32());
    assert.deepEqual(table.with("length", lengths).values("length"), [3, 2, 2]);
    assert.throws(() => table.with("mark", [true], t.bool), /`mark` has 1 values, and the table 3 rows/);
    assert.throws(() => table.values("nme"), /there is no column `nme`; the table has `id`, `name`, `age`/);
  }
});

test("rows are filtered, taken and cut", () => {
  for (const table of [people(), inParts()]) {
    assert.deepEqual(table.filter((row) => row !== 1).values("name"), ["Ada", "Cy"]);
    assert.equal(table.filter(() => false).numRows, 0);
    assert.deepEqual(table.take([2, 2, 0]).values("id"), [3n, 3n, 1n]);
    assert.deepEqual(table.slice(1).values("age"), [null, null]);
    assert.equal(table.slice(5).numRows, 0);
    assert.throws(() => table.take([3]), /row 3 of a table with 3 rows/);
  }
});

test("untouched columns stay the same memory", () => {
  const table = people();
  const before = table.column("name").data[0]?.values;
  const after = table.with("extra", [1, 2, 3], t.int).without("id").column("name").data[0]?.values;
  assert.equal(after, before);
});

test("a copy is other memory", () => {
  const table = people();
  const copy = table.copy();
  assert.deepEqual(copy.rows(), table.rows());
  assert.notEqual(copy.column("name").data[0]?.values.buffer, table.column("name").data[0]?.values.buffer);
});

test("tables of apache-arrow become tables and back", () => {
  const given = new arrow.Table({
    n: arrow.vectorFromArray([1, null, 3], new arrow.Int32()),
    s: arrow.vectorFromArray(["a", "b", null]),
  });
  const table = Table.fromArrow(given.slice(1));
  assert.deepEqual(table.rows(), [
    { n: null, s: "b" },
    { n: 3, s: null },
  ]);
  const back = inParts().toArrow();
  assert.equal(back.numRows, 3);
  assert.deepEqual(back.getChild("name")?.toJSON(), ["Ada", "Bo", "Cy"]);
});

test("tables with other columns are not put together", () => {
  const other = Table.empty(row({ id: t.string })) as unknown as ReturnType<typeof people>;
  assert.throws(() => Table.concat([people(), other]), TableError);
});

test("row types are read and written in Heddle's notation", () => {
  const text = "{id: int, amount: decimal(10,2)?, tags: list<string?>, at: {day: date, zone: string}?, ..}";
  assert.equal(String(Row.parse(text)), text);
  assert.equal(String(anyRow), "{..}");
  assert.equal(String(Row.fromTexts({ a: "int", b: "string?" })), "{a: int, b: string?}");
  for (const bad of [
    "{a: integer}",
    "{a int}",
    "{a: list<int}",
    "{a: decimal(99,1)}",
    "{a: int} x",
    "{a: {.., b: int}}",
  ]) {
    assert.throws(() => Row.parse(bad), { name: "TypeTextError" }, bad);
  }
  assert.throws(() => Row.parse(`{a: ${"list<".repeat(40)}int${">".repeat(40)}}`), /nests at most 32 levels/);
});
