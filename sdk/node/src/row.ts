// Row types: the columns of a table in order, and whether there may be others beside them.

import type * as arrow from "apache-arrow";
import { type Field, type Schema, typeName } from "./arrow/field.js";
import { fieldOf } from "./arrow/interop.js";
import { readStreamSchema } from "./arrow/reader.js";
import { encodeSchema } from "./arrow/writer.js";
import { parseRow, parseType } from "./type_text.js";
import type { AnyValue, ColumnType, Shape } from "./types.js";
import type { Row as RowMessage } from "./wire/plugin.js";

/** A row type. Make one with `row`, `anyRow` or `Row.parse`. */
export class Row<S extends Shape = Shape> {
  /** Types only: there is no value. */
  declare readonly shape: S;
  /** The named columns. */
  readonly schema: Schema;
  /** Whether there may be other columns beside the named ones. */
  readonly isOpen: boolean;

  constructor(schema: Schema, isOpen: boolean) {
    this.schema = schema;
    this.isOpen = isOpen;
  }

  /** A row in Heddle's notation: `{amount: float, note: string?, ..}`. Throws `TypeTextError`. */
  static parse(text: string): Row {
    const { fields, isOpen } = parseRow(text);
    return new Row({ fields }, isOpen);
  }

  /** A row whose columns are given as texts, as a `row` setting has them: `{ id: "int", name: "string?" }`. */
  static fromTexts(columns: Readonly<Record<string, string>>): Row {
    const fields = Object.entries(columns).map(([name, text]) => ({ ...parseType(text), name }));
    return new Row({ fields }, false);
  }

  /** The columns of a schema of apache-arrow. */
  static fromArrow(schema: arrow.Schema): Row {
    return new Row({ fields: schema.fields.map(fieldOf) }, false);
  }

  get names(): string[] {
    return this.schema.fields.map((field) => field.name);
  }

  /** The row with other columns allowed beside its own: `{amount: float, ..}`. */
  open(): Row<S> {
    return new Row(this.schema, true);
  }

  toString(): string {
    const parts = this.schema.fields.map((field) => `${field.name}: ${typeName(field, field.nullable)}`);
    return `{${[...parts, ...(this.isOpen ? [".."] : [])].join(", ")}}`;
  }
}

/** The row type with these columns. */
export function row<S extends Shape>(columns: S): Row<S> {
  const fields: Field[] = Object.entries(columns).map(([name, type]) => ({ ...type.field, name }));
  return new Row({ fields }, false);
}

/** The open row that names no column. */
export const anyRow: Row<Record<string, ColumnType<AnyValue>>> = new Row({ fields: [] }, true);

export function encodeRow(of: Row): RowMessage {
  return { schema: encodeSchema(of.schema), open: of.isOpen };
}

/** Throws `StreamError`. */
export function decodeRow(message: RowMessage | undefined): Row {
  if (message === undefined) return anyRow;
  return new Row(readStreamSchema(message.schema), message.open);
}
