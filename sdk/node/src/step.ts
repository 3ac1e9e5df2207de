// Steps as they are declared: which rows go in and come out, their settings and slots, and their function.

import type * as arrow from "apache-arrow";
import type { Call } from "./call.js";
import type { ConfigOf, OpenSettings, Settings } from "./config.js";
import type { ResourcesOf, Slots } from "./resource.js";
import type { Row } from "./row.js";
import type { Columns, Table } from "./table.js";
import type { AnyValue, Shape } from "./types.js";

/**
 * How a step's output rows belong to its input rows.
 *
 * - `table`: it needs all rows at once; the default. The rows of the others may come in parts, at the same
 *   time, and together with those of other runs.
 * - `map`: row i of the output belongs to row i of the input.
 * - `filter`: the output is a part of the input, its order kept.
 * - `flat`: each row gives any number of rows.
 */
export type RowKind = "table" | "map" | "filter" | "flat";

/** What a step may return: a table of any make, or its declared columns by name. */
export type Rows<S extends Shape> = Table<AnyValue> | arrow.Table | arrow.RecordBatch | Columns<S>;

/** What a step returns: rows at once, as they are made, or a promise of either. */
export type Output<S extends Shape> =
  | Rows<S>
  | Iterable<Rows<S>>
  | AsyncIterable<Rows<S>>
  | Promise<Rows<S> | Iterable<Rows<S>> | AsyncIterable<Rows<S>>>;

/** What a step says of itself; left out, it says nothing. */
export interface Traits {
  /** The same rows and settings give the same result. */
  readonly deterministic?: boolean;
  /** Doing it twice is the same as doing it once. */
  readonly idempotent?: boolean;
  /** It leaves something in the world. */
  readonly effect?: boolean;
}

interface Common<C, R> extends Traits {
  readonly doc?: string;
  /** Settings by name, or `c.open` for any. */
  readonly config?: C;
  /** Slots by name. */
  readonly resources?: R;
}

interface WithInput<I extends Shape> {
  /** The columns that it needs; without, it takes any. */
  readonly input?: Row<I>;
  /** Gives the step its rows in memory of their own, which needs no care and costs a copy. */
  readonly copyInput?: boolean;
}

/** What `infer` is given. */
export interface InferRequest<C, R> {
  readonly config: ConfigOf<C>;
  readonly resources: ResourcesOf<R>;
  readonly input: Row;
}

type Infer<C, R> = (request: InferRequest<C, R>) => Row | Promise<Row>;

export interface StepOptions<
  I extends Shape,
  O extends Shape,
  C extends Settings | OpenSettings,
  R extends Slots,
  Optional extends boolean,
> extends Common<C, R>,
    WithInput<I> {
  readonly output?: Row<O>;
  /** It may stand at the head of a statement, where its input is undefined. */
  readonly optionalInput?: Optional;
  readonly rows?: RowKind;
  /** Columns of the input that the step does not name travel through unchanged. */
  readonly passthrough?: boolean;
  /** The output's row at plan time, where it depends on the settings. It changes nothing in the world. */
  readonly infer?: Infer<C, R>;
  run(
    call: Call<ConfigOf<C>, ResourcesOf<R>, Optional extends true ? Table<I> | undefined : Table<I>>,
  ): Output<O>;
}

export interface SourceOptions<O extends Shape, C extends Settings | OpenSettings, R extends Slots>
  extends Common<C, R> {
  readonly output?: Row<O>;
  readonly infer?: Infer<C, R>;
  /** A generator gives rows as they are made; all tables have the same columns. */
  run(call: Call<ConfigOf<C>, ResourcesOf<R>, undefined>): Output<O>;
}

export interface SinkOptions<I extends Shape, C extends Settings | OpenSettings, R extends Slots>
  extends Common<C, R>,
    WithInput<I> {
  readonly rows?: RowKind;
  run(call: Call<ConfigOf<C>, ResourcesOf<R>, Table<I>>): void | Promise<void>;
}

/** A step that is only declared: programs that use it check, but do not run. */
export type DeclaredOptions<
  I extends Shape,
  O extends Shape,
  C extends Settings | OpenSettings,
  R extends Slots,
> = Omit<StepOptions<I, O, C, R, boolean>, "run" | "infer" | "copyInput">;

/** @internal A step in the one form in which it is described, bound and called. */
export interface Step {
  readonly name: string;
  readonly doc: string;
  readonly inputMode: "none" | "required" | "optional";
  readonly input: Row;
  /** Undefined for a sink. */
  readonly output: Row | undefined;
  readonly rows: RowKind;
  readonly passthrough: boolean;
  readonly traits: Traits;
  readonly config: Settings | OpenSettings;
  readonly slots: Slots;
  readonly copyInput: boolean;
  readonly infer: ((request: InferRequest<AnyValue, AnyValue>) => Row | Promise<Row>) | undefined;
  /** Undefined for a step that is only declared. */
  readonly run: ((call: Call<AnyValue, AnyValue, AnyValue>) => unknown) | undefined;
}
