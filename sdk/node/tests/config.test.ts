import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { checkConfig, encodeConfig, parseConfig } from "../src/config_check.js";
import { type ConfigOf, c, Row, Secret, type Settings } from "../src/index.js";

const settings = {
  flag: c.bool(),
  count: c.int(),
  big: c.bigint({ default: 0n }),
  ratio: c.float({ default: 0.5 }),
  name: c.string({ default: "" }),
  token: c.secret({ default: "" }),
  level: c.choice(["low", "high"], { default: "low" }),
  tags: c.list(c.string(), { default: [] }),
  weights: c.map(c.float(), { default: {} }),
  limit: c.int({ nullable: true, default: null }),
  place: c.struct({ city: c.string(), zip: c.string({ default: "" }) }, { nullable: true, default: null }),
  columns: c.row({ default: {} }),
  query: c.statement({ default: "select 1" }),
  extra: c.any({ default: null }),
};

function checked(text: string): ConfigOf<typeof settings> {
  return checkConfig(parseConfig(text, "step `s`"), settings, "step `s`");
}

test("all settings arrive", () => {
  const config = checked(
    `{"flag": true, "count": -7, "big": 9007199254740993, "ratio": 2, "name": "ž", "token": "hunter2",
      "level": "high", "tags": ["a"], "weights": {"x": 1.5}, "limit": 3, "place": {"city": "Brno"},
      "columns": {"id": "int"}, "extra": [1, null]}`,
  );
  assert.equal(config.big, 9007199254740993n);
  assert.deepEqual(
    [config.flag, config.count, config.ratio, config.name, config.level, config.limit],
    [true, -7, 2, "ž", "high", 3],
  );
  assert.deepEqual([config.tags, config.weights, config.extra], [["a"], { x: 1.5 }, [1, null]]);
  assert.deepEqual(config.place, { city: "Brno", zip: "" });
  assert(config.columns instanceof Row);
  assert.equal(String(config.columns), "{id: int}");
  assert.equal(config.token.reveal(), "hunter2");
});

test("defaults are filled in", () => {
  const config = checked('{"flag": false, "count": 0}');
  assert.deepEqual([config.big, config.ratio, config.limit, config.place], [0n, 0.5, null, null]);
});

test("what does not fit is refused by name", () => {
  const full = { flag: true, count: 1 };
  const cases: [object, string][] = [
    [{ ...full, count: "seven" }, "the setting `count` is a string where int is wanted"],
    [{ ...full, count: 1.5 }, "the setting `count` is a float where int is wanted"],
    [{ ...full, flag: 1 }, "the setting `flag` is an int where bool is wanted"],
    [{ ...full, flag: null }, "the setting `flag` is null where bool is wanted"],
    [{ ...full, level: "middle" }, 'the setting `level` is a string where "low" or "high" is wanted'],
    [{ ...full, tags: ["a", 1] }, "the setting `tags[1]` is an int where string is wanted"],
    [{ ...full, weights: { x: "y" } }, "the setting `weights.x` is a string where float is wanted"],
    [{ ...full, place: {} }, "the setting `place.city` (string) is missing"],
    [
      { ...full, place: { city: "B", town: 1 } },
      "`place.town` is not a setting here; there are `city`, `zip`",
    ],
    [{ ...full, columns: { a: "integer" } }, "the setting `columns.a`: `integer` is not a type"],
    [{ flag: true }, "the setting `count` (int) is missing"],
    [{ ...full, counts: 1 }, "`counts` is not a setting here; did you mean `count`?"],
  ];
  for (const [given, message] of cases) {
    const refused = { kind: "config", errorType: "ConfigError", message: `step \`s\`: ${message}` };
    assert.throws(() => checked(JSON.stringify(given)), refused);
  }
  assert.throws(
    () => checked('{"flag": true, "count": 9007199254740993}'),
    /`count`: it is too large for a number/,
  );
  assert.throws(() => checked("[1]"), /the settings of step `s` are a list where a dict is wanted/);
  assert.throws(() => checked("{"), /the settings of step `s` are not JSON/);
});

test("any settings can be taken", () => {
  assert.deepEqual(checkConfig({ a: 1, b: [true] }, c.open, "x"), { a: 1, b: [true] });
});

test("a secret does not show itself", () => {
  const secret = new Secret("hunter2");
  const shown = [String(secret), JSON.stringify({ secret }), inspect({ secret }), `${secret}`];
  assert(!shown.join().includes("hunter2"));
});

test("settings are described as the protocol has them", () => {
  const fields = Object.fromEntries(encodeConfig(settings, "x").map((field) => [field.name, field]));
  assert.equal(fields.count?.required, true);
  assert.equal(fields.big?.defaultJson, "0");
  assert.equal(fields.token?.secret, true);
  assert.deepEqual(fields.level?.type?.choicesJson, ['"low"', '"high"']);
  assert.equal(fields.tags?.type?.items?.kind, "string");
  assert.deepEqual(
    fields.place?.type?.fields.map((field) => field.name),
    ["city", "zip"],
  );
  assert.equal(fields.limit?.type?.nullable, true);
});

test("a default that does not fit is a mistake of the plugin", () => {
  const wrong: Settings = { count: c.int({ default: "x" as unknown as number }) };
  assert.throws(
    () => encodeConfig(wrong, "step `s`"),
    /the default of `count` is a string where int is wanted/,
  );
});
