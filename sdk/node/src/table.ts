// Tables: what steps are given and what they give.

import * as arrow from "apache-arrow";
import { columnFromValues, TableError } from "./arrow/build.js";
import { type Chunk, type Column, copyColumn, emptyChunk } from "./arrow/column.js";
import { concatChunks } from "./arrow/concat.js";
import { type Field, type Schema, sameSchema, sameType, typeName } from "./arrow/field.js";
import { arrowField, columnOf, fieldOf, vectorOf } from "./arrow/interop.js";
import type { Lease } from "./arrow/lease.js";
import { type RowNumbers, sliceChunk, sliceColumn, takeChunk } from "./arrow/rows.js";
import { readerOf } from "./arrow/values.js";
import { Row } from "./row.js";
import type { AnyValue, ArrowOf, ColumnType, GivenOf, RowGiven, RowValue, Shape, ValueOf } from "./types.js";

/** The values of a column to be made: an array, a typed array of the column's own kind, or a vector. */
export type ColumnGiven<C> = ArrayLike<GivenOf<C>> | arrow.Vector;

/** Whole columns by name. */
export type Columns<S extends Shape> = { readonly [K in keyof S]: ColumnGiven<S[K]> };

/** @internal What `Table` is made of, for the rest of the SDK. */
export interface TableParts {
  readonly schema: Schema;
  readonly chunks: readonly Chunk[];
  readonly lease: Lease | undefined;
}

/** @internal */
export let partsOf: (table: Table) => TableParts;
/** @internal */
export let tableOf: (parts: TableParts) => Table;

/**
 * Rows with named columns, in Arrow's memory layout. A table never changes; methods give new ones, which
 * share memory with it.
 *
 * The input of a step lies in memory of the engine, which takes it back when the step ends: from then on
 * reading it throws `InputEndedError`. What is to live longer is copied with `copy()` before.
 */
export class Table<S extends Shape = Shape> {
  /** Types only: there is no value. */
  declare readonly shape: S;
  readonly numRows: number;
  readonly #schema: Schema;
  readonly #chunks: readonly Chunk[];
  readonly #lease: Lease | undefined;

  static {
    partsOf = (table) => {
      table.#lease?.check();
      return { schema: table.#schema, chunks: table.#chunks, lease: table.#lease };
    };
    tableOf = (parts) => new Table(parts);
  }

  private constructor({ schema, chunks, lease }: TableParts) {
    this.#schema = schema;
    this.#chunks = chunks.length > 0 ? chunks : [emptyChunk(schema)];
    this.#lease = lease;
    this.numRows = this.#chunks.reduce((rows, chunk) => rows + chunk.rows, 0);
  }

  /** A table of whole columns. Throws `TableError` for values that do not fit. */
  static fromColumns<S extends Shape>(row: Row<S>, columns: Columns<S>): Table<S> {
    const given = columns as Readonly<Record<string, ColumnGiven<ColumnType>>>;
    const made = row.schema.fields.map((field) => {
      const values = given[field.name];
      if (values === undefined) throw new TableError(`the column \`${field.name}\` is missing`);
      return madeColumn(field, values);
    });
    return tableOfColumns(row.schema, made) as unknown as Table<S>;
  }

  /** A table of rows. Throws `TableError` for values that do not fit. */
  static fromRows<S extends Shape>(row: Row<S>, rows: readonly RowGiven<S>[]): Table<S> {
    const made = row.schema.fields.map((field) =>
      columnFromValues(
        field,
        rows.map((values) => (values as Readonly<Record<string, unknown>>)[field.name]),
      ),
    );
    const chunk = { schema: row.schema, rows: rows.length, columns: made };
    return new Table<S>({ schema: row.schema, chunks: [chunk], lease: undefined });
  }

  /** A table of apache-arrow, without copying values. */
  static fromArrow(table: arrow.Table | arrow.RecordBatch): Table {
    const batches = "batches" in table ? table.batches : [table];
    const schema = { fields: table.schema.fields.map(fieldOf) };
    const chunks = batches.map((batch) => ({
      schema,
      rows: batch.numRows,
      columns: schema.fields.map((field, i) => columnOf(batch.data.children[i] as arrow.Data, field)),
    }));
    return new Table({ schema, chunks, lease: undefined });
  }

  /** No rows of a row type. */
  static empty<S extends Shape>(row: Row<S>): Table<S> {
    return new Table<S>({ schema: row.schema, chunks: [], lease: undefined });
  }

  /** The tables one after the other, at least one; their columns have the same names and types. */
  static concat<S extends Shape>(tables: readonly Table<S>[]): Table<S> {
    const parts = tables.map((table) => partsOf(table as unknown as Table));
    const [first] = parts;
    if (first === undefined) throw new TableError("there is no table to put together");
    const other = parts.find((part) => !sameSchema(part.schema, first.schema));
    if (other !== undefined) {
      throw new TableError(
        `tables with different columns cannot be put together: ${new Row(first.schema, false)} and ` +
          `${new Row(other.schema, false)}`,
      );
    }
    const chunks = parts.flatMap((part) => part.chunks);
    const leases = new Set(parts.map((part) => part.lease).filter((lease) => lease !== undefined));
    if (leases.size > 1) throw new TableError("inputs of different calls cannot be put together; copy them");
    return new Table<S>({ schema: first.schema, chunks, lease: [...leases][0] });
  }

  get names(): string[] {
    return this.#schema.fields.map((field) => field.name);
  }

  /** The row type of exactly these columns. */
  get row(): Row {
    return new Row(this.#schema, false);
  }

  has(name: string): boolean {
    return this.#schema.fields.some((field) => field.name === name);
  }

  /**
   * A column as a vector of apache-arrow, in place. What is taken from it in place (`toArray`, `slice`,
   * binary values) must not be used after the step has ended, and never be written to.
   */
  column<K extends keyof S & string>(name: K): arrow.Vector<ArrowOf<S[K]>>;
  column(name: string): arrow.Vector;
  column(name: string): arrow.Vector {
    return vectorOf(this.#columns(name), this.#lease);
  }

  /** A column's values, copied; null where there is none. Columns of any type can be read so. */
  values<K extends keyof S & string>(name: K): ValueOf<S[K]>[];
  values(name: string): unknown[];
  values(name: string): unknown[] {
    const values: unknown[] = new Array(this.numRows);
    let at = 0;
    for (const column of this.#columns(name)) {
      const value = readerOf(column);
      for (let row = 0; row < column.length; row++) values[at++] = value(row);
    }
    return values;
  }

  /** The rows as objects, copied. */
  rows(): RowValue<S>[] {
    this.#lease?.check();
    const rows: Record<string, unknown>[] = [];
    for (const chunk of this.#chunks) {
      const readers = chunk.columns.map((column) => [column.field.name, readerOf(column)] as const);
      for (let row = 0; row < chunk.rows; row++) {
        rows.push(Object.fromEntries(readers.map(([name, value]) => [name, value(row)])));
      }
    }
    return rows as RowValue<S>[];
  }

  /**
   * The table with a column replaced, or added at its end. The column's type is `type`, else that of the vector
   * or of the column that it replaces.
   */
  with<K extends string, V, G, A extends arrow.DataType>(
    name: K,
    values: ArrayLike<G> | arrow.Vector,
    type: ColumnType<V, G, A>,
  ): Table<Omit<S, K> & Record<K, ColumnType<V, G, A>>>;
  with<K extends keyof S & string>(name: K, values: ColumnGiven<S[K]>): Table<S>;
  with<K extends string>(name: K, values: arrow.Vector): Table<Omit<S, K> & Record<K, ColumnType<AnyValue>>>;
  with(name: string, values: ArrayLike<unknown> | arrow.Vector, type?: { field: Field }): Table<never> {
    this.#lease?.check();
    const place = this.#schema.fields.findIndex((field) => field.name === name);
    const field = this.#newField(name, values, type, place);
    const column = madeColumn(field, values);
    if (column.length !== this.numRows) {
      throw new TableError(`\`${name}\` has ${column.length} values, and the table ${this.numRows} rows`);
    }
    const at = place < 0 ? this.#schema.fields.length : place;
    const schema = { ...this.#schema, fields: replaced(this.#schema.fields, at, field) };
    let start = 0;
    const chunks = this.#chunks.map((chunk) => {
      const part = sliceColumn(column, start, start + chunk.rows);
      start += chunk.rows;
      return { schema, rows: chunk.rows, columns: replaced(chunk.columns, at, part) };
    });
    return new Table({ schema, chunks, lease: this.#lease });
  }

  /** The table with these columns only, in this order. */
  select<K extends keyof S & string>(...names: K[]): Table<Pick<S, K>>;
  select(...names: string[]): Table;
  select(...names: string[]): Table<never> {
    return this.#arranged(names.map((name) => this.#place(name)));
  }

  /** The table without these columns. */
  without<K extends keyof S & string>(...names: K[]): Table<Omit<S, K>>;
  without(...names: string[]): Table;
  without(...names: string[]): Table<never> {
    const dropped = new Set(names.map((name) => this.#place(name)));
    return this.#arranged(this.#schema.fields.map((_, i) => i).filter((i) => !dropped.has(i)));
  }

  /** The rows for which `keep` gives true; it is given the row's number. */
  filter(keep: (row: number) => boolean): Table<S> {
    this.#lease?.check();
    let start = 0;
    const chunks = this.#chunks.map((chunk) => {
      const rows = new Int32Array(chunk.rows);
      let count = 0;
      for (let row = 0; row < chunk.rows; row++) if (keep(start + row)) rows[count++] = row;
      start += chunk.rows;
      return count === chunk.rows ? chunk : takeChunk(chunk, rows.subarray(0, count));
    });
    return this.#of(chunks);
  }

  /** The rows with these numbers, in their order; a number may stand there more than once. */
  take(rows: RowNumbers): Table<S> {
    this.#lease?.check();
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number;
      if (!(row >= 0 && row < this.numRows)) {
        throw new RangeError(`row ${row} of a table with ${this.numRows} rows`);
      }
    }
    return this.#of([takeChunk(concatChunks(this.#chunks), rows)]);
  }

  /** Rows `start` to `end` - 1. */
  slice(start: number, end = this.numRows): Table<S> {
    this.#lease?.check();
    const chunks: Chunk[] = [];
    let at = 0;
    for (const chunk of this.#chunks) {
      const from = Math.max(start - at, 0);
      const to = Math.min(end - at, chunk.rows);
      if (from < to) chunks.push(sliceChunk(chunk, from, to));
      at += chunk.rows;
    }
    return this.#of(chunks);
  }

  /** The same rows in memory of their own, to be kept after the step has ended. */
  copy(): Table<S> {
    this.#lease?.check();
    const chunks = this.#chunks.map((chunk) => ({ ...chunk, columns: chunk.columns.map(copyColumn) }));
    return new Table<S>({ schema: this.#schema, chunks, lease: undefined });
  }

  /**
   * The table as apache-arrow has it, in place; the same care is due as with `column`. Throws `TableError`
   * for columns of types that it does not have.
   */
  toArrow(): arrow.Table {
    this.#lease?.check();
    const schema = new arrow.Schema(this.#schema.fields.map(arrowField));
    const vectors = this.#schema.fields.map((_, i) =>
      vectorOf(
        this.#chunks.map((chunk) => chunk.columns[i] as Column),
        this.#lease,
      ),
    );
    const batches = this.#chunks.map((chunk, n) => {
      const children = vectors.map((vector) => vector.data[n] as arrow.Data);
      const type = new arrow.Struct(schema.fields);
      return new arrow.RecordBatch(
        schema,
        arrow.makeData({ type, length: chunk.rows, nullCount: 0, children }),
      );
    });
    return new arrow.Table(schema, batches);
  }

  toString(): string {
    return `Table ${this.row} (${this.numRows} rows)`;
  }

  #of(chunks: readonly Chunk[]): Table<S> {
    return new Table<S>({ schema: this.#schema, chunks, lease: this.#lease });
  }

  #arranged(places: readonly number[]): Table<never> {
    this.#lease?.check();
    const schema = { ...this.#schema, fields: places.map((i) => this.#schema.fields[i] as Field) };
    const chunks = this.#chunks.map((chunk) => ({
      schema,
      rows: chunk.rows,
      columns: places.map((i) => chunk.columns[i] as Column),
    }));
    return new Table<never>({ schema, chunks, lease: this.#lease });
  }

  #place(name: string): number {
    const place = this.#schema.fields.findIndex((field) => field.name === name);
    if (place >= 0) return place;
    const there = this.names.map((other) => `\`${other}\``).join(", ") || "no columns";
    throw new TableError(`there is no column \`${name}\`; the table has ${there}`);
  }

  #columns(name: string): readonly Column[] {
    this.#lease?.check();
    const place = this.#place(name);
    return this.#chunks.map((chunk) => chunk.columns[place] as Column);
  }

  #newField(name: string, values: unknown, type: { field: Field } | undefined, place: number): Field {
    if (type !== undefined) return { ...type.field, name };
    const before = this.#schema.fields[place];
    if (isVector(values)) {
      const found = fieldOf(new arrow.Field(name, values.type, true));
      return before !== undefined && sameType(before, found) ? before : found;
    }
    if (before !== undefined) return before;
    throw new TableError(`the new column \`${name}\` needs a type, such as \`t.int\``);
  }
}

function replaced<T>(items: readonly T[], at: number, item: T): T[] {
  const result = [...items];
  result[at] = item;
  return result;
}

/** @internal Duck-typed: a plugin may have its own copy of apache-arrow. */
export function isVector(value: unknown): value is arrow.Vector {
  return typeof value === "object" && value !== null && "data" in value && "type" in value && "get" in value;
}

/** @internal Columns of one length, at least one of them, as a table. */
export function tableOfColumns(schema: Schema, columns: readonly Column[]): Table {
  const rows = columns[0]?.length ?? 0;
  const odd = columns.find((column) => column.length !== rows);
  if (odd !== undefined) {
    throw new TableError(
      `\`${odd.field.name}\` has ${odd.length} values, and \`${columns[0]?.field.name}\` ${rows}`,
    );
  }
  return tableOf({ schema, chunks: [{ schema, rows, columns }], lease: undefined });
}

/** @internal */
export function madeColumn(field: Field, values: ArrayLike<unknown> | arrow.Vector): Column {
  if (!isVector(values)) return columnFromValues(field, values);
  const found = fieldOf(new arrow.Field(field.name, values.type, field.nullable));
  if (!sameType(found, field) && field.metadata?.get("heddle.type") !== "unknown") {
    throw new TableError(`\`${field.name}\` is ${typeName(field)}, but was given ${typeName(found)}`);
  }
  const parts = values.data.map((data) => columnOf(data, found));
  const chunks = parts.map((column) => ({
    schema: { fields: [found] },
    rows: column.length,
    columns: [column],
  }));
  const column = parts.length === 0 ? columnFromValues(found, []) : concatChunks(chunks).columns[0];
  return { ...(column as Column), field };
}
