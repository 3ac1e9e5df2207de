// A step with its settings and its open resources, ready to be called: the door to user code.

import type * as arrow from "apache-arrow";
import { fieldOfType } from "./arrow/interop.js";
import { Call, type CallControl, type CallInfo } from "./call.js";
import { checkConfig } from "./config_check.js";
import { slotsOf } from "./describe.js";
import { configError, contractError, FailureError, failureOf, protocolError, suggestion } from "./errors.js";
import type { Plugin } from "./plugin.js";
import { Row } from "./row.js";
import type { Step } from "./step.js";
import { isVector, madeColumn, Table, tableOfColumns } from "./table.js";

/** Takes a table of the output. `whole`: it is all of it. */
export type Emit = (table: Table, whole: boolean) => void | Promise<void>;

/** Throws `FailureError`. */
export function findStep(plugin: Plugin, name: string): Step {
  const step = plugin.steps.get(name);
  if (step !== undefined) return step;
  const cure = suggestion(name, [...plugin.steps.keys()]);
  throw protocolError(`the plugin \`${plugin.namespace}\` has no step \`${name}\`; ${cure}`, "NotFound");
}

/** Throws `FailureError`, of the kind `config` for what a program may correct. */
export function bindStep(
  plugin: Plugin,
  step: Step,
  config: unknown,
  resources: Readonly<Record<string, unknown>>,
): BoundStep {
  const name = `${plugin.namespace}.${step.name}`;
  if (step.run === undefined) {
    throw new FailureError("unsupported", `the step \`${name}\` is declared but has no body`, "Unsupported");
  }
  for (const slot of slotsOf(step.slots)) {
    if (slot.required && resources[slot.name] === undefined) {
      throw configError(`\`${name}\` needs a resource in its slot \`${slot.name}\` (${slot.resource})`);
    }
  }
  const checked = checkConfig(config, step.config, `step \`${step.name}\``);
  return new BoundStep(name, step, checked, resources);
}

export class BoundStep {
  readonly name: string;
  readonly step: Step;
  readonly #config: unknown;
  readonly #resources: Readonly<Record<string, unknown>>;

  constructor(name: string, step: Step, config: unknown, resources: Readonly<Record<string, unknown>>) {
    this.name = name;
    this.step = step;
    this.#config = config;
    this.#resources = resources;
  }

  /** Calls the function and gives its output to `emit`. Throws `FailureError`. */
  async call(info: CallInfo, control: CallControl, input: Table | undefined, emit: Emit): Promise<void> {
    try {
      await this.#call(info, control, input, emit);
    } catch (thrown) {
      const failure = failureOf(thrown);
      if (!control.cancelled || failure.kind !== "step") throw failure;
      const { stackTrace, transient, cause } = failure;
      const details = { stackTrace, transient, cause };
      throw new FailureError("cancelled", failure.message, failure.errorType, details);
    }
  }

  /** The output's row for these settings. Throws `FailureError`. */
  async infer(input: Row): Promise<Row> {
    if (this.step.infer === undefined) {
      const message = `\`${this.name}\` does not say which columns its settings make`;
      throw new FailureError("unsupported", message, "Unsupported");
    }
    try {
      const row = await this.step.infer({ config: this.#config as never, resources: this.#resources, input });
      if (row instanceof Row) return row;
    } catch (thrown) {
      throw failureOf(thrown);
    }
    throw contractError(
      `\`infer\` of \`${this.name}\` returned no Row; make one with \`row\` or \`Row.parse\``,
    );
  }

  async #call(info: CallInfo, control: CallControl, input: Table | undefined, emit: Emit): Promise<void> {
    const { step } = this;
    const given = step.copyInput ? input?.copy() : input;
    const call = new Call(info, control, {
      config: this.#config,
      resources: this.#resources,
      input: given,
      rowCount: input?.numRows ?? 0,
      mayReject: step.rows === "map",
    });
    const run = step.run as (call: Call) => unknown;
    const returned = await run(call);
    if (step.output === undefined) {
      if (returned === undefined || returned === null) return;
      throw contractError(`\`${this.name}\` returned ${shown(returned)}, but is declared as a sink`);
    }
    if (!isStream(returned)) {
      await emit(this.#table(returned), true);
      return;
    }
    for await (const item of returned) {
      await emit(this.#table(item), false);
      if (control.cancelled) throw control.signal.reason;
    }
  }

  #table(returned: unknown): Table {
    if (returned instanceof Table) return returned;
    if (isArrowTable(returned)) return Table.fromArrow(returned);
    const { output } = this.step;
    if (typeof returned === "object" && returned !== null && output !== undefined) {
      return this.#columns(returned as Readonly<Record<string, unknown>>, output);
    }
    throw contractError(
      `\`${this.name}\` returned ${shown(returned)} where a table is wanted; return a Table, a table of ` +
        "apache-arrow, or an object with its columns",
    );
  }

  #columns(returned: Readonly<Record<string, unknown>>, output: Row): Table {
    const declared = new Map(output.schema.fields.map((field) => [field.name, field]));
    const missing = output.names.find((name) => !Object.hasOwn(returned, name));
    if (missing !== undefined) {
      throw contractError(`\`${this.name}\` did not return the column \`${missing}\`, which it declares`);
    }
    const columns = Object.entries(returned).map(([name, values]) => {
      const isArray = Array.isArray(values) || (ArrayBuffer.isView(values) && !(values instanceof DataView));
      if (!isArray && !isVector(values)) {
        throw contractError(`\`${this.name}\` returned ${shown(values)} as the column \`${name}\``);
      }
      const field = declared.get(name);
      if (field !== undefined) return madeColumn(field, values as ArrayLike<unknown>);
      if (isVector(values)) return madeColumn(fieldOfType(name, values.type, true), values);
      throw contractError(
        `\`${this.name}\` returned the column \`${name}\`, which it does not declare; name it in its output ` +
          "row, or give a vector of apache-arrow, whose type is known",
      );
    });
    return tableOfColumns({ fields: columns.map((column) => column.field) }, columns);
  }
}

function isStream(value: unknown): value is Iterable<unknown> | AsyncIterable<unknown> {
  if (typeof value !== "object" || value === null || value instanceof Table || isArrowTable(value))
    return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value;
}

/** Duck-typed: a plugin may have its own copy of apache-arrow. */
function isArrowTable(value: unknown): value is arrow.Table | arrow.RecordBatch {
  if (typeof value !== "object" || value === null || !("schema" in value)) return false;
  return "batches" in value || ("data" in value && "numRows" in value);
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value !== "object") return `a ${typeof value}`;
  return Array.isArray(value) ? "an array" : `a ${value.constructor?.name ?? "object"}`;
}
