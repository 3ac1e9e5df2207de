/**
 * Steps in tests, without an engine: `runStep` calls one as a plugin's process would.
 *
 * Settings are checked, resources are opened and closed, and what the step throws arrives as it was thrown. What
 * only the engine checks (the number of rows, columns that pass by, nulls) is not checked here.
 */

import * as arrow from "apache-arrow";
import { Lease } from "./arrow/lease.js";
import { readStream } from "./arrow/reader.js";
import { encodeStream } from "./arrow/writer.js";
import { bindStep, findStep } from "./bound_step.js";
import { CallControl, type CallInfo, type Listener, type LogLevel, type Rejection } from "./call.js";
import { checkConfig } from "./config_check.js";
import { slotsOf } from "./describe.js";
import { FailureError, suggestion } from "./errors.js";
import type { Plugin } from "./plugin.js";
import type { ResourceType } from "./resource.js";
import type { Row } from "./row.js";
import { partsOf, Table, tableOf } from "./table.js";

export { FailureError } from "./errors.js";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface ProgressReport {
  readonly rowsDone: number;
  /** 0 when it is not known. */
  readonly rowsTotal: number;
  readonly message: string;
}

export interface Metric {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** What a step did. */
export interface StepResult {
  /** What it returned, all tables of a generator as one; undefined for a sink. */
  readonly table: Table | undefined;
  /** The rows of `table` as objects. */
  readonly rows: Record<string, unknown>[];
  readonly rejections: readonly Rejection[];
  /** The reason for each rejected row, by its number in the input. */
  readonly rejected: ReadonlyMap<number, string>;
  readonly logs: readonly LogLine[];
  readonly progress: readonly ProgressReport[];
  readonly metrics: readonly Metric[];
}

export interface StepTrial {
  /** Rows as objects, which get the types of the step's input row, or a table; left out for a source. */
  readonly input?: Table | arrow.Table | readonly Readonly<Record<string, unknown>>[];
  readonly config?: Readonly<Record<string, unknown>>;
  /** For each slot the thing itself or a stand-in for it; `settings` opens the plugin's own resource. */
  readonly resources?: Readonly<Record<string, unknown>>;
  readonly context?: Partial<CallInfo>;
  readonly signal?: AbortSignal;
}

class OpenWith {
  readonly config: Readonly<Record<string, unknown>>;

  constructor(config: Readonly<Record<string, unknown>>) {
    this.config = config;
  }
}

/** As a value of `resources`: the plugin's own resource, opened with these settings, and closed afterwards. */
export function settings(config: Readonly<Record<string, unknown>> = {}): unknown {
  return new OpenWith(config);
}

/**
 * Calls the step `name` of a plugin. When the step has ended its input is gone, as it is in a run: what the step
 * kept of it without `copy()` throws or is empty. Throws what the step threw, and a `FailureError` for what the
 * SDK refuses.
 */
export async function runStep(plugin: Plugin, name: string, trial: StepTrial = {}): Promise<StepResult> {
  const step = findStep(plugin, name);
  const opened: [ResourceType<never>, never][] = [];
  const told = new Told();
  const tables: Table[] = [];
  const control = new CallControl(told);
  const cancel = () => control.cancel();
  if (trial.signal?.aborted === true) cancel();
  trial.signal?.addEventListener("abort", cancel);
  const lent = trial.input === undefined ? undefined : lend(inputTable(step.input, trial.input));
  try {
    const resources = await openResources(plugin, slotsOf(step.slots), trial.resources ?? {}, opened);
    const bound = bindStep(plugin, step, trial.config ?? {}, resources);
    await bound.call(callInfo(name, trial.context), control, lent?.table, (table) => {
      tables.push(table.copy());
    });
  } catch (thrown) {
    throw thrown instanceof FailureError && thrown.cause instanceof Error ? thrown.cause : thrown;
  } finally {
    lent?.end();
    trial.signal?.removeEventListener("abort", cancel);
    for (const [type, value] of opened.reverse()) await type.options.close?.(value);
  }
  const table = tables.length === 0 ? undefined : Table.concat(tables);
  const { rejections } = control;
  const reasons = rejections.flatMap(({ rows, reason }) => rows.map((row) => [row, reason] as const));
  return {
    table,
    rows: (table?.rows() ?? []) as Record<string, unknown>[],
    rejections,
    rejected: new Map(reasons.sort(([a], [b]) => a - b)),
    logs: told.logs,
    progress: told.reports,
    metrics: told.metrics,
  };
}

class Told implements Listener {
  readonly logs: LogLine[] = [];
  readonly reports: ProgressReport[] = [];
  readonly metrics: Metric[] = [];

  log(level: LogLevel, message: string, fields: Readonly<Record<string, string>>): void {
    this.logs.push({ level, message, fields });
  }

  progress(rowsDone: number, rowsTotal: number, message: string): void {
    this.reports.push({ rowsDone, rowsTotal, message });
  }

  metric(name: string, value: number, unit: string): void {
    this.metrics.push({ name, value, unit });
  }
}

function callInfo(step: string, given: Partial<CallInfo> = {}): CallInfo {
  const { runId = "test", workflow = "Test", attempt = 1, idempotencyKey, deadlineS } = given;
  return { runId, workflow, step, attempt, idempotencyKey, deadlineS, base: given.base ?? process.cwd() };
}

function inputTable(wanted: Row, given: NonNullable<StepTrial["input"]>): Table {
  if (given instanceof Table) return given;
  if (!Array.isArray(given)) return Table.fromArrow(given as arrow.Table);
  const rows = given as Record<string, unknown>[];
  const others = new Set(
    rows.flatMap((row) => Object.keys(row)).filter((key) => !wanted.names.includes(key)),
  );
  let table = Table.fromRows(wanted, rows as never);
  for (const name of others) {
    const vector = arrow.vectorFromArray(rows.map((row) => row[name] ?? null));
    const column = Table.fromArrow(new arrow.Table({ [name]: vector }));
    table = table.names.length === 0 ? (column as Table<never>) : (table.with(name, vector) as Table<never>);
  }
  return table;
}

/** The table in memory that is taken away at the end. */
function lend(table: Table): { table: Table; end: () => void } {
  const { schema, chunks } = partsOf(table);
  const bytes = encodeStream(schema, chunks).toBytes();
  const lease = new Lease();
  return {
    table: tableOf({ ...readStream(bytes), lease }),
    end: () => {
      lease.end();
      structuredClone(bytes.buffer, { transfer: [bytes.buffer as ArrayBuffer] });
    },
  };
}

async function openResources(
  plugin: Plugin,
  slots: readonly { name: string; resource: string }[],
  given: Readonly<Record<string, unknown>>,
  opened: [ResourceType<never>, never][],
): Promise<Record<string, unknown>> {
  const resources: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const slot = slots.find((other) => other.name === name);
    if (slot === undefined) {
      const names = slots.map((other) => other.name);
      throw new TypeError(`the step has no slot \`${name}\`; ${suggestion(name, names)}`);
    }
    resources[name] = value;
    if (!(value instanceof OpenWith)) continue;
    const type = plugin.resources.get(slot.resource) as ResourceType<never>;
    const config = checkConfig(value.config, type.config, `resource \`${type.name}\``);
    const resource = (await type.options.open(config as never)) as never;
    opened.push([type, resource]);
    resources[name] = resource;
  }
  return resources;
}
