import { test } from "node:test";
import { anyRow, c, optional, type Plugin, row, Table, t } from "../src/index.js";

/** Declarations that the compiler must accept or refuse; nothing here is called. */
function declarations(plugin: Plugin): void {
  const store = plugin.resource("store", { open: () => ({ put: (_key: string) => 1 }) });

  plugin.step("typed", {
    input: row({ text: t.string, note: t.string.nullable() }).open(),
    output: row({ words: t.int, at: t.timestamp.nullable() }),
    config: {
      least: c.int({ default: 1 }),
      level: c.choice(["low", "high"]),
      limit: c.int({ nullable: true }),
    },
    resources: { store, cache: optional(store) },
    run(call) {
      const text: string[] = call.input.values("text");
      const note: (string | null)[] = call.input.values("note");
      const other: unknown[] = call.input.values("other");
      const least: number = call.config.least;
      const level: "low" | "high" = call.config.level;
      const limit: number | null = call.config.limit;
      const put: number = call.resources.store.put("x");
      const cached: number | undefined = call.resources.cache?.put("x");
      // @ts-expect-error: a text is no number
      const wrong: number[] = call.input.values("text");
      // @ts-expect-error: there is no such setting
      call.config.most;
      // @ts-expect-error: the slot may be empty
      call.resources.cache.put("x");
      const numbers = [
        least,
        limit ?? 0,
        put,
        cached ?? 0,
        level.length,
        note.length,
        other.length,
        wrong.length,
      ];
      return { words: text.map((_, i) => BigInt(numbers[i] ?? 0)), at: [new Date(), 5n, 6, null, undefined] };
    },
  });

  // @ts-expect-error: a column is missing
  plugin.step("missing", { output: row({ a: t.int, b: t.int }), run: () => ({ a: [1] }) });
  // @ts-expect-error: a column has the wrong type
  plugin.step("wrong", { output: row({ a: t.int }), run: () => ({ a: ["x"] }) });
  // @ts-expect-error: a source has no input
  plugin.source("source", { output: row({ a: t.int }), run: ({ input }) => ({ a: [input.numRows] }) });
  // @ts-expect-error: the input may be missing
  plugin.step("optional", { optionalInput: true, input: anyRow, run: ({ input }) => input.copy() });
  // @ts-expect-error: the default has the wrong type
  c.int({ default: "x" });
  // @ts-expect-error: the default is none of the choices
  c.choice(["a", "b"], { default: "d" });
  // @ts-expect-error: a nullable default needs `nullable`
  c.string({ default: null });
  // @ts-expect-error: the column is not nullable
  Table.fromRows(row({ a: t.int }), [{ a: null }]);

  plugin.source("stream", {
    output: row({ a: t.int }),
    async *run() {
      yield { a: [1, 2n] };
      yield Table.fromRows(row({ a: t.int }), [{ a: 3 }]);
    },
  });

  const table = Table.fromRows(row({ a: t.int, b: t.string.nullable() }), [{ a: 1 }]);
  const b: (string | null)[] = table.select("b").values("b");
  const added: boolean[] = table.with("c", [true], t.bool).values("c");
  const a: bigint[] = table.filter(() => true).values("a");
  void [b, added, a];
}

test("the compiler has looked at the declarations", () => void declarations);
