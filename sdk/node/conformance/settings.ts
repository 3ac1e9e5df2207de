// Steps whose result is their settings.

import { c, row, Table, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

plugin.source("settings", {
  output: row({ json: t.string }),
  deterministic: true,
  config: {
    flag: c.bool(),
    count: c.bigint(),
    ratio: c.float({ default: 0.5 }),
    name: c.string(),
    level: c.choice(["low", "high"], { default: "low" }),
    tags: c.list(c.string(), { default: [] }),
    weights: c.map(c.float(), { default: {} }),
    limit: c.bigint({ nullable: true, default: null }),
    place: c.struct({ city: c.string(), zip: c.string({ default: "" }) }, { nullable: true, default: null }),
  },
  run: ({ config }) => ({ json: [canonical(config)] }),
});

plugin.source("schema_of", {
  config: { columns: c.row() },
  infer: ({ config }) => config.columns,
  run: ({ config }) => Table.empty(config.columns),
});

/** JSON with sorted keys and without spaces. */
function canonical(value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
}
