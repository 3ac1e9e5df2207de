// The types of columns: `t.int`, `t.list(t.string)`, `t.string.nullable()`. Each knows which JavaScript values
// a column of it gives and takes.

import type * as arrow from "apache-arrow";
import type { Field, Type } from "./arrow/field.js";
import { typeName } from "./arrow/field.js";
import { fieldOfType } from "./arrow/interop.js";

/**
 * The type of a column. `Value` is what reading a value gives, `Given` what may be written, `Arrow` the type
 * of apache-arrow that it is.
 */
export class ColumnType<Value = unknown, Given = Value, Arrow extends arrow.DataType = arrow.DataType> {
  /** Types only: there is no value. */
  declare readonly types: { value: Value; given: Given; arrow: Arrow };
  /** A field without a name. */
  readonly field: Field;

  constructor(field: Field) {
    this.field = field;
  }

  /** The type with null among its values. */
  nullable(): ColumnType<Value | null, Given | null | undefined, Arrow> {
    return new ColumnType({ ...this.field, nullable: true });
  }

  /** In Heddle's notation, such as `list<int?>`. */
  toString(): string {
    return typeName(this.field, this.field.nullable);
  }
}

/** Columns by name. */
export type Shape = Readonly<Record<string, ColumnType<unknown, unknown>>>;

// biome-ignore lint/suspicious/noExplicitAny: the type of a value that is not known when the code is written
export type AnyValue = any;
export type ValueOf<C> = C extends ColumnType<infer V, AnyValue, AnyValue> ? V : AnyValue;
export type GivenOf<C> = C extends ColumnType<AnyValue, infer G, AnyValue> ? G : AnyValue;
export type ArrowOf<C> = C extends ColumnType<AnyValue, AnyValue, infer A> ? A : arrow.DataType;

type Whole = bigint | number;

function plain<V, G = V, A extends arrow.DataType = arrow.DataType>(
  type: Type,
  children: readonly Field[] = [],
): ColumnType<V, G, A> {
  return new ColumnType({ name: "", type, nullable: false, children });
}

const UNKNOWN: Field = {
  name: "",
  type: { kind: "null" },
  nullable: true,
  children: [],
  metadata: new Map([["heddle.type", "unknown"]]),
};

const DECIMAL_128_DIGITS = 38;
const DECIMAL_256_DIGITS = 76;

/** Heddle's column types. */
export const t = {
  /** A whole number of 64 bits: read as a `bigint`, written as a `bigint` or a safe `number`. */
  int: plain<bigint, Whole, arrow.Int64>({ kind: "int", bits: 64, signed: true }),
  /** A floating-point number of 64 bits. */
  float: plain<number, number, arrow.Float64>({ kind: "float", bits: 64 }),
  string: plain<string, string, arrow.Utf8>({ kind: "string" }),
  bool: plain<boolean, boolean, arrow.Bool>({ kind: "bool" }),
  /** A point in time, in microseconds since 1970 in UTC; written as those or as a `Date`. */
  timestamp: plain<bigint, Whole | Date, arrow.TimestampMicrosecond>({
    kind: "timestamp",
    unit: "us",
    zone: "UTC",
  }),
  /** A day, as a `Date` at its begin in UTC. */
  date: plain<Date, Date, arrow.DateDay>({ kind: "date", unit: "day" }),
  /** A time of day, in microseconds since midnight. */
  time: plain<bigint, Whole, arrow.TimeMicrosecond>({ kind: "time", bits: 64, unit: "us" }),
  /** In microseconds. */
  duration: plain<bigint, Whole, arrow.DurationMicrosecond>({ kind: "duration", unit: "us" }),
  binary: plain<Uint8Array, Uint8Array, arrow.Binary>({ kind: "binary" }),
  /** Text that is JSON; the column is a string. */
  json: plain<string, string, arrow.Utf8>({ kind: "string" }),
  /** A column whose type the step does not fix. */
  unknown: new ColumnType<AnyValue>(UNKNOWN),

  /** A number of `precision` digits, `scale` of them after the point: read as text such as "12.50". */
  decimal(precision: number, scale: number): ColumnType<string, string | Whole, arrow.Decimal> {
    const good = Number.isInteger(precision) && Number.isInteger(scale) && scale >= 0 && scale <= precision;
    if (!good || precision < 1 || precision > DECIMAL_256_DIGITS) {
      throw new RangeError(
        `decimal(${precision},${scale}): a decimal has 1 to ${DECIMAL_256_DIGITS} digits, and no more of ` +
          "them after the point",
      );
    }
    const bits = precision <= DECIMAL_128_DIGITS ? 128 : 256;
    return plain({ kind: "decimal", bits, precision, scale });
  },

  list<V, G, A extends arrow.DataType>(
    item: ColumnType<V, G, A>,
  ): ColumnType<V[], readonly G[], arrow.List<A>> {
    return plain({ kind: "list" }, [{ ...item.field, name: "item" }]);
  },

  struct<S extends Shape>(fields: S): ColumnType<RowValue<S>, RowGiven<S>, arrow.Struct> {
    const children = Object.entries(fields).map(([name, type]) => ({ ...type.field, name }));
    return plain({ kind: "struct" }, children);
  },

  /** Any type of apache-arrow. */
  arrow<A extends arrow.DataType>(type: A): ColumnType<AnyValue, AnyValue, A> {
    return new ColumnType(fieldOfType("", type, false));
  },
} as const;

/** A row of a shape as an object that was read. */
export type RowValue<S extends Shape> = { [K in keyof S]: ValueOf<S[K]> };

type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends GivenOf<S[K]> ? K : never }[keyof S];

/** A row of a shape as an object to be written; nullable columns may be left out. */
export type RowGiven<S extends Shape> = {
  [K in Exclude<keyof S, OptionalKeys<S>>]: GivenOf<S[K]>;
} & { [K in OptionalKeys<S>]?: GivenOf<S[K]> };
