// Steps that run one behind the other in one call; the tables between them do not leave the process. A chain
// ends before a step that does not do exactly what its link says: the engine then calls it by itself.

import type { Chunk, Column } from "../arrow/column.js";
import { concatColumns } from "../arrow/concat.js";
import { type Field, type Schema, sameType } from "../arrow/field.js";
import type { Lease } from "../arrow/lease.js";
import { readStreamSchema, StreamError } from "../arrow/reader.js";
import { sliceColumn } from "../arrow/rows.js";
import { protocolError } from "../errors.js";
import { partsOf, type Table, tableOf } from "../table.js";
import type { Link as LinkMessage } from "../wire/plugin.js";
import { sameMemory } from "./output.js";

/** What a step takes of the table before it, and what the table behind it must be. */
export interface Link {
  readonly takes: Schema;
  readonly gives: Schema;
  /** The columns of `gives` that the step itself returns; behind a `map` the others stay as they were. */
  readonly returns: ReadonlySet<string>;
  /** Whether it may return more. */
  readonly open: boolean;
  readonly rows: string;
}

/** Throws `FailureError`. */
export function decodeLink({ takes, gives, returns, open, rows }: LinkMessage): Link {
  try {
    return {
      takes: readStreamSchema(takes),
      gives: readStreamSchema(gives),
      returns: new Set(returns),
      open,
      rows,
    };
  } catch (error) {
    if (error instanceof StreamError) throw protocolError(error.message);
    throw error;
  }
}

/** What the step is given of a table; undefined when that does not fit. */
export function takenBy(link: Link, before: Table): Table | undefined {
  return assembled(
    link.takes,
    before,
    link.takes.fields.map(() => before),
  );
}

/**
 * The table behind a step, of the one before it and what it returned; undefined when that is not what the link
 * says.
 */
export function givenBy(link: Link, before: Table, taken: Table, returned: Table): Table | undefined {
  if (link.rows === "map" && returned.numRows !== before.numRows) return undefined;
  if (link.rows === "filter" && returned.numRows > before.numRows) return undefined;
  const own = new Set(returned.names);
  if (own.size < returned.names.length || ![...link.returns].every((name) => own.has(name))) return undefined;
  const isMine = (name: string) => own.has(name) && (link.open || link.returns.has(name));
  if (![...own].every((name) => isMine(name) || hasStayed(link, name, taken, returned))) return undefined;
  if (link.rows !== "map" && !link.gives.fields.every(({ name }) => isMine(name))) return undefined;
  return assembled(
    link.gives,
    returned,
    link.gives.fields.map(({ name }) => (isMine(name) ? returned : before)),
  );
}

/** Whether a column that travels past the step came back as it went in. */
function hasStayed(link: Link, name: string, taken: Table, returned: Table): boolean {
  if (link.rows !== "map" || !link.gives.fields.some((field) => field.name === name)) return false;
  const given = columnsOf(taken, name);
  const found = columnsOf(returned, name);
  if (given === undefined || found?.length !== given.length) return false;
  return found.every((column, i) => sameMemory(column, given[i] as Column));
}

/** A table of columns of other tables, with the rows of `like`; undefined when one does not fit its field. */
function assembled(schema: Schema, like: Table, sources: readonly Table[]): Table | undefined {
  const { chunks: layout } = partsOf(like);
  const columns: Column[][] = [];
  for (const [i, field] of schema.fields.entries()) {
    const found = columnsOf(sources[i] as Table, field.name)?.map((column) => fitting(column, field));
    if (found === undefined || found.includes(undefined)) return undefined;
    columns.push(cutLike(found as Column[], layout));
  }
  const fields = schema.fields.map((field) => ({ ...field, nullable: true }));
  const chunks = layout.map(({ rows }, at) => ({
    schema: { fields },
    rows,
    columns: columns.map((parts) => parts[at] as Column),
  }));
  return tableOf({ schema: { fields }, chunks, lease: leaseOf([like, ...sources]) });
}

/** The column under the field's name and type; undefined when it is of another type or has a null too many. */
function fitting(column: Column, field: Field): Column | undefined {
  if (!sameType(column.field, field) || (column.nullCount > 0 && !field.nullable)) return undefined;
  return column.field.nullable ? column : { ...column, field: { ...column.field, nullable: true } };
}

function columnsOf(table: Table, name: string): readonly Column[] | undefined {
  const { schema, chunks } = partsOf(table);
  const place = schema.fields.findIndex((field) => field.name === name);
  if (place < 0) return undefined;
  return chunks.map((chunk) => chunk.columns[place] as Column);
}

function cutLike(columns: Column[], layout: readonly Chunk[]): Column[] {
  const isSame = columns.length === layout.length;
  if (isSame && columns.every((column, i) => column.length === layout[i]?.rows)) return columns;
  const whole = columns.length === 1 ? (columns[0] as Column) : concatColumns(columns);
  let start = 0;
  return layout.map(({ rows }) => {
    start += rows;
    return sliceColumn(whole, start - rows, start);
  });
}

/** The call's own: tables of a step's own making have none. */
function leaseOf(tables: readonly Table[]): Lease | undefined {
  return tables.map((table) => partsOf(table).lease).find((lease) => lease !== undefined);
}
