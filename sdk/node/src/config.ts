// Settings: what a step or a resource accepts in its `{…}`. `c.int({ default: 3 })` is a setting; an object of
// them is the config of a step.

import { inspect } from "node:util";
import type { Row } from "./row.js";

/** Text that never reaches a log, a plan or an error message. `reveal` gives it. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return "…";
  }

  toJSON(): string {
    return "…";
  }

  [inspect.custom](): string {
    return "Secret(…)";
  }
}

/** A value of any kind; whole numbers beyond 2^53 are `bigint`. */
export type AnySetting =
  | null
  | boolean
  | number
  | bigint
  | string
  | AnySetting[]
  | { [key: string]: AnySetting };

export type SettingKind =
  | "any"
  | "bool"
  | "int"
  | "float"
  | "string"
  | "statement"
  | "choice"
  | "list"
  | "map"
  | "struct"
  | "row";

/** What values a setting takes. `give` makes of a checked value what the step gets. */
export interface SettingType {
  readonly kind: SettingKind;
  readonly nullable: boolean;
  readonly items?: SettingType;
  readonly fields?: Settings;
  readonly choices?: readonly (string | number)[];
  readonly give?: (value: never) => unknown;
}

/** A setting whose value arrives as a `Value`. Make one with `c`. */
export class Setting<Value = unknown> {
  /** Types only: there is no value. */
  declare readonly value: Value;
  readonly type: SettingType;
  readonly required: boolean;
  /** Of a setting that is not required, as JSON has it. */
  readonly default: unknown;
  readonly secret: boolean;
  readonly doc: string;

  constructor(type: SettingType, options: AnyOptions | undefined, secret = false) {
    this.type = type;
    this.required = options === undefined || !("default" in options);
    this.default = options?.default;
    this.secret = secret;
    this.doc = options?.doc ?? "";
  }
}

/** Settings by name. */
export type Settings = { readonly [name: string]: Setting };

/** Any settings at all, given as they are. */
export interface OpenSettings {
  readonly open: true;
}

/** The values of settings, checked and with their defaults filled in. */
export type ConfigOf<C> = C extends OpenSettings
  ? Readonly<Record<string, AnySetting>>
  : { readonly [K in keyof C]: C[K] extends Setting<infer V> ? V : never };

interface AnyOptions {
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly doc?: string;
}

/** With `nullable`, null may be given; with `default`, the setting may be left out. */
export interface SettingOptions<Given, N extends boolean> {
  readonly default?: N extends true ? Given | null : Given;
  readonly nullable?: N;
  readonly doc?: string;
}

type Maybe<V, N extends boolean> = N extends true ? V | null : V;

function setting<V>(type: Omit<SettingType, "nullable">, options?: AnyOptions, secret = false): Setting<V> {
  return new Setting<V>({ ...type, nullable: options?.nullable === true }, options, secret);
}

/** Settings: `{ least: c.int({ default: 1, doc: "…" }), mode: c.choice(["fast", "exact"]) }`. */
export const c = {
  bool<N extends boolean = false>(options?: SettingOptions<boolean, N>): Setting<Maybe<boolean, N>> {
    return setting({ kind: "bool" }, options);
  },
  /** A whole number; one that a `number` does not hold exactly is refused. */
  int<N extends boolean = false>(options?: SettingOptions<number, N>): Setting<Maybe<number, N>> {
    return setting({ kind: "int", give: safeNumber }, options);
  },
  /** A whole number of any size. */
  bigint<N extends boolean = false>(options?: SettingOptions<bigint, N>): Setting<Maybe<bigint, N>> {
    return setting({ kind: "int", give: (value: number | bigint) => BigInt(value) }, options);
  },
  float<N extends boolean = false>(options?: SettingOptions<number, N>): Setting<Maybe<number, N>> {
    return setting({ kind: "float", give: (value: number | bigint) => Number(value) }, options);
  },
  string<N extends boolean = false>(options?: SettingOptions<string, N>): Setting<Maybe<string, N>> {
    return setting({ kind: "string" }, options);
  },
  /** Text that stays out of logs, plans and messages. */
  secret<N extends boolean = false>(options?: SettingOptions<string, N>): Setting<Maybe<Secret, N>> {
    return setting({ kind: "string", give: (value: string) => new Secret(value) }, options, true);
  },
  /** A text whose `@name` parts are bound parameters, such as a query. */
  statement<N extends boolean = false>(options?: SettingOptions<string, N>): Setting<Maybe<string, N>> {
    return setting({ kind: "statement" }, options);
  },
  choice<const T extends string | number, N extends boolean = false>(
    choices: readonly T[],
    options?: SettingOptions<NoInfer<T>, N>,
  ): Setting<Maybe<T, N>> {
    return setting({ kind: "choice", choices }, options);
  },
  list<V, N extends boolean = false>(
    items: Setting<V>,
    options?: SettingOptions<readonly NoInfer<V>[], N>,
  ): Setting<Maybe<V[], N>> {
    return setting({ kind: "list", items: items.type }, options);
  },
  /** Values of one type by any keys. */
  map<V, N extends boolean = false>(
    items: Setting<V>,
    options?: SettingOptions<Readonly<Record<string, NoInfer<V>>>, N>,
  ): Setting<Maybe<Record<string, V>, N>> {
    return setting({ kind: "map", items: items.type }, options);
  },
  struct<F extends Settings, N extends boolean = false>(
    fields: F,
    options?: SettingOptions<Readonly<Record<string, unknown>>, N>,
  ): Setting<Maybe<ConfigOf<F>, N>> {
    return setting({ kind: "struct", fields }, options);
  },
  /** A row type, given as `{ column: "type" }`. */
  row<N extends boolean = false>(
    options?: SettingOptions<Readonly<Record<string, string>>, N>,
  ): Setting<Maybe<Row, N>> {
    return setting({ kind: "row" }, options);
  },
  any<N extends boolean = false>(options?: SettingOptions<AnySetting, N>): Setting<AnySetting> {
    return setting({ kind: "any" }, options);
  },
  /** As a step's whole `config`: any settings, given as they are. */
  open: { open: true } as OpenSettings,
} as const;

export function isOpen(config: Settings | OpenSettings): config is OpenSettings {
  return config === c.open;
}

function safeNumber(value: number | bigint): number {
  if (typeof value === "bigint") {
    throw new RangeError("it is too large for a number; declare the setting with `c.bigint`");
  }
  return value;
}
