// A plugin: steps and resources under a namespace.

import type { OpenSettings, Settings } from "./config.js";
import { encodeConfig } from "./config_check.js";
import { type ResourceOptions, ResourceType, type Slots } from "./resource.js";
import { anyRow, type Row } from "./row.js";
import { serve } from "./serve/serve.js";
import type {
  DeclaredOptions,
  RowKind,
  SinkOptions,
  SourceOptions,
  Step,
  StepOptions,
  Traits,
} from "./step.js";
import type { Shape } from "./types.js";

export interface PluginOptions {
  /** By which programs import it. */
  readonly namespace: string;
  readonly version?: string;
  readonly doc?: string;
  /** The environment variables that it reads; it sees no others. */
  readonly environment?: readonly string[];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const ROW_KINDS: readonly RowKind[] = ["table", "map", "filter", "flat"];

export class Plugin {
  readonly namespace: string;
  readonly version: string;
  readonly doc: string;
  readonly environment: readonly string[];
  /** @internal */
  readonly steps = new Map<string, Step>();
  /** @internal */
  readonly resources = new Map<string, ResourceType<never>>();

  constructor(options: PluginOptions) {
    this.namespace = options.namespace;
    this.version = options.version ?? "";
    this.doc = options.doc ?? "";
    this.environment = options.environment ?? [];
  }

  /** A step that takes rows and gives rows. Throws a `TypeError` for a declaration that contradicts itself. */
  step<
    I extends Shape = Shape,
    O extends Shape = Shape,
    // biome-ignore lint/complexity/noBannedTypes: a step without settings has none at all
    C extends Settings | OpenSettings = {},
    // biome-ignore lint/complexity/noBannedTypes: nor slots
    R extends Slots = {},
    Optional extends boolean = false,
  >(name: string, options: StepOptions<I, O, C, R, Optional>): void {
    this.#add({
      ...common(name, options),
      inputMode: options.optionalInput === true ? "optional" : "required",
      input: inputRow(options.input),
      output: outputRow(options.output),
      rows: options.rows ?? "table",
      passthrough: options.passthrough ?? false,
      copyInput: options.copyInput ?? false,
      infer: options.infer,
      run: (call) => options.run(call),
    });
  }

  /** A step without input. */
  source<
    O extends Shape = Shape,
    // biome-ignore lint/complexity/noBannedTypes: a step without settings has none at all
    C extends Settings | OpenSettings = {},
    // biome-ignore lint/complexity/noBannedTypes: nor slots
    R extends Slots = {},
  >(name: string, options: SourceOptions<O, C, R>): void {
    this.#add({
      ...common(name, options),
      inputMode: "none",
      input: anyRow,
      output: outputRow(options.output),
      rows: "table",
      passthrough: false,
      copyInput: false,
      infer: options.infer,
      run: (call) => options.run(call),
    });
  }

  /** A step that takes rows and gives none. */
  sink<
    I extends Shape = Shape,
    // biome-ignore lint/complexity/noBannedTypes: a step without settings has none at all
    C extends Settings | OpenSettings = {},
    // biome-ignore lint/complexity/noBannedTypes: nor slots
    R extends Slots = {},
  >(name: string, options: SinkOptions<I, C, R>): void {
    this.#add({
      ...common(name, options),
      inputMode: "required",
      input: inputRow(options.input),
      output: undefined,
      rows: options.rows ?? "table",
      passthrough: false,
      copyInput: options.copyInput ?? false,
      infer: undefined,
      run: (call) => options.run(call),
    });
  }

  /** A step without a body: programs that use it check, but do not run. */
  declare<
    I extends Shape = Shape,
    O extends Shape = Shape,
    // biome-ignore lint/complexity/noBannedTypes: a step without settings has none at all
    C extends Settings | OpenSettings = {},
    // biome-ignore lint/complexity/noBannedTypes: nor slots
    R extends Slots = {},
  >(name: string, options: DeclaredOptions<I, O, C, R> = {}): void {
    this.#add({
      ...common(name, options),
      inputMode: options.optionalInput === true ? "optional" : "required",
      input: inputRow(options.input),
      output: outputRow(options.output),
      rows: options.rows ?? "table",
      passthrough: options.passthrough ?? false,
      copyInput: false,
      infer: undefined,
      run: undefined,
    });
  }

  /** A kind of resource. What it gives stands in the `resources` of steps. */
  resource<
    T,
    // biome-ignore lint/complexity/noBannedTypes: a resource without settings has none at all
    C extends Settings | OpenSettings = {},
  >(name: string, options: ResourceOptions<T, C>): ResourceType<T> {
    const where = `resource \`${name}\``;
    if (!NAME.test(name)) throw new TypeError(`${where}: a name is letters, digits and \`_\``);
    if (this.resources.has(name)) throw new TypeError(`${where} is there twice`);
    encodeConfig(options.config ?? {}, where);
    const type = new ResourceType<T>(name, options as unknown as ResourceOptions<T, OpenSettings>);
    this.resources.set(name, type as ResourceType<never>);
    return type;
  }

  /**
   * Answers the engine that started this process, until the engine is gone. In a process that somebody started
   * by hand it prints what the plugin offers, and returns.
   */
  serve(): Promise<void> {
    return serve(this);
  }

  #add(step: Step): void {
    const where = `step \`${step.name}\``;
    if (!NAME.test(step.name)) throw new TypeError(`${where}: a name is letters, digits and \`_\``);
    if (this.steps.has(step.name)) throw new TypeError(`${where} is there twice`);
    if (!ROW_KINDS.includes(step.rows)) {
      throw new TypeError(`${where}: rows is "${step.rows}"; it is one of ${ROW_KINDS.join(", ")}`);
    }
    if (step.traits.deterministic === true && step.traits.effect === true) {
      throw new TypeError(`${where}: deterministic and effect exclude each other; drop one`);
    }
    encodeConfig(step.config, where);
    this.steps.set(step.name, step);
  }
}

interface CommonOptions extends Traits {
  readonly doc?: string;
  readonly config?: Settings | OpenSettings;
  readonly resources?: Slots;
}

function common(
  name: string,
  options: CommonOptions,
): Pick<Step, "name" | "doc" | "traits" | "config" | "slots"> {
  const { deterministic, idempotent, effect } = options;
  return {
    name,
    doc: options.doc ?? "",
    traits: {
      ...(deterministic !== undefined && { deterministic }),
      ...(idempotent !== undefined && { idempotent }),
      ...(effect !== undefined && { effect }),
    },
    config: options.config ?? {},
    slots: options.resources ?? {},
  };
}

function inputRow(row: Row<never> | Row | undefined): Row {
  return (row as Row | undefined) ?? anyRow;
}

function outputRow(row: Row<never> | Row | undefined): Row {
  return (row as Row | undefined) ?? anyRow;
}
