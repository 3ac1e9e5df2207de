// Values of columns as JavaScript has them. Nothing that is given refers to the column's memory.

import * as arrow from "apache-arrow";
import { type Column, copied, getBit, int32s, int64s, isValid, offsetsOf } from "./column.js";
import { type Field, type IntType, layoutOf, type Type } from "./field.js";
import { child, runEnds, runOf } from "./rows.js";

export type ValueReader = (row: number) => unknown;

/** Months, days and nanoseconds, which have no common unit. */
export interface MonthDayNano {
  readonly months: number;
  readonly days: number;
  readonly nanoseconds: bigint;
}

export interface DayTime {
  readonly days: number;
  readonly milliseconds: number;
}

/** A function that gives the value of a row; null where there is none. */
export function readerOf(column: Column): ValueReader {
  const value = valueReader(column);
  if (column.validity === undefined) return column.nullCount === 0 ? value : () => null;
  return (row) => (isValid(column, row) ? value(row) : null);
}

export function readValues(column: Column): unknown[] {
  const value = readerOf(column);
  const values = new Array<unknown>(column.length);
  for (let row = 0; row < column.length; row++) values[row] = value(row);
  return values;
}

function valueReader(column: Column): ValueReader {
  const { field, dictionary } = column;
  if (field.dictionary !== undefined && dictionary !== undefined) {
    const index = intReader(field.dictionary.index, column.buffers[0] as Uint8Array);
    const values = readerOf(dictionary);
    return (row) => values(Number(index(row)));
  }
  const layout = layoutOf(field);
  switch (layout.shape) {
    case "none":
      return () => null;
    case "bits": {
      const bits = column.buffers[0] as Uint8Array;
      return (row) => getBit(bits, row);
    }
    case "fixed":
      return fixedReader(field.type, column.buffers[0] as Uint8Array);
    case "bytes":
      return bytesReader(column, layout.offsetBytes);
    case "view":
      return viewReader(column);
    case "list": {
      const offsets = offsetsOf(column.buffers[0] as Uint8Array, layout.offsetBytes, column.length + 1);
      if (field.type.kind === "map") return mapReader(column, offsets);
      const items = readerOf(child(column, 0));
      return (row) => range(offsets[row] as number, offsets[row + 1] as number, items);
    }
    case "list_view": {
      const offsets = offsetsOf(column.buffers[0] as Uint8Array, layout.offsetBytes, column.length);
      const sizes = offsetsOf(column.buffers[1] as Uint8Array, layout.offsetBytes, column.length);
      const items = readerOf(child(column, 0));
      return (row) => {
        const start = offsets[row] as number;
        return range(start, start + (sizes[row] as number), items);
      };
    }
    case "fixed_list": {
      const items = readerOf(child(column, 0));
      return (row) => range(row * layout.size, (row + 1) * layout.size, items);
    }
    case "struct": {
      const fields = column.children.map((c) => [c.field.name, readerOf(c)] as const);
      return (row) => Object.fromEntries(fields.map(([name, value]) => [name, value(row)]));
    }
    case "union":
      return unionReader(column, layout.dense);
    case "run_end_encoded": {
      const ends = runEnds(column);
      const count = child(column, 0).length;
      const values = readerOf(child(column, 1));
      return (row) => values(runOf(ends, count, row));
    }
  }
}

function range(start: number, end: number, item: ValueReader): unknown[] {
  const items: unknown[] = [];
  for (let i = start; i < end; i++) items.push(item(i));
  return items;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function intReader(type: IntType, bytes: Uint8Array): (row: number) => number | bigint {
  const view = viewOf(bytes);
  switch (type.bits) {
    case 8:
      return type.signed ? (row) => view.getInt8(row) : (row) => view.getUint8(row);
    case 16:
      return type.signed ? (row) => view.getInt16(row * 2, true) : (row) => view.getUint16(row * 2, true);
    case 32:
      return type.signed ? (row) => view.getInt32(row * 4, true) : (row) => view.getUint32(row * 4, true);
    case 64:
      if (type.signed) return (row) => view.getBigInt64(row * 8, true);
      return (row) => view.getBigUint64(row * 8, true);
  }
}

function fixedReader(type: Type, bytes: Uint8Array): ValueReader {
  const view = viewOf(bytes);
  switch (type.kind) {
    case "int":
      return intReader(type, bytes);
    case "float":
      if (type.bits === 64) return (row) => view.getFloat64(row * 8, true);
      if (type.bits === 32) return (row) => view.getFloat32(row * 4, true);
      return (row) => arrow.util.uint16ToFloat64(view.getUint16(row * 2, true));
    case "decimal": {
      const width = type.bits / 8;
      return (row) => decimalText(readWide(view, row * width, width), type.scale);
    }
    case "date":
      if (type.unit === "day") return (row) => new Date(view.getInt32(row * 4, true) * DAY_MS);
      return (row) => new Date(Number(view.getBigInt64(row * 8, true)));
    case "time":
      if (type.bits === 32) return (row) => view.getInt32(row * 4, true);
      return (row) => view.getBigInt64(row * 8, true);
    case "interval":
      return intervalReader(type.unit, view);
    case "fixed_size_binary":
      return (row) => copied(bytes.subarray(row * type.bytes, (row + 1) * type.bytes));
    default:
      return (row) => view.getBigInt64(row * 8, true);
  }
}

export const DAY_MS = 86_400_000;

function intervalReader(unit: "year_month" | "day_time" | "month_day_nano", view: DataView): ValueReader {
  if (unit === "year_month") return (row) => view.getInt32(row * 4, true);
  if (unit === "day_time") {
    return (row): DayTime => ({
      days: view.getInt32(row * 8, true),
      milliseconds: view.getInt32(row * 8 + 4, true),
    });
  }
  return (row): MonthDayNano => ({
    months: view.getInt32(row * 16, true),
    days: view.getInt32(row * 16 + 4, true),
    nanoseconds: view.getBigInt64(row * 16 + 8, true),
  });
}

/** A signed number of any width that is a multiple of 4 bytes. */
function readWide(view: DataView, at: number, width: number): bigint {
  let value = 0n;
  for (let i = width - 4; i >= 0; i -= 4) value = (value << 32n) | BigInt(view.getUint32(at + i, true));
  return BigInt.asIntN(width * 8, value);
}

/** `-1234n` with scale 2 is "-12.34". */
export function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? "-" : "";
  const digits = String(unscaled < 0n ? -unscaled : unscaled);
  if (scale <= 0) return sign + digits + (unscaled === 0n ? "" : "0".repeat(-scale));
  const padded = digits.padStart(scale + 1, "0");
  return `${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}`;
}

function isText(field: Field): boolean {
  const { kind } = field.type;
  return kind === "string" || kind === "large_string" || kind === "string_view";
}

function bytesReader(column: Column, width: number): ValueReader {
  const offsets = offsetsOf(column.buffers[0] as Uint8Array, width, column.length + 1);
  const data = column.buffers[1] as Uint8Array;
  if (!isText(column.field)) return (row) => copied(data.subarray(offsets[row], offsets[row + 1]));
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return (row) => text.toString("utf8", offsets[row], offsets[row + 1]);
}

const VIEW_BYTES = 16;
const VIEW_INLINE_BYTES = 12;

function viewReader(column: Column): ValueReader {
  const [views, ...others] = column.buffers as [Uint8Array, ...Uint8Array[]];
  const words = int32s(views);
  const bytes = (row: number): Uint8Array => {
    const length = words[row * 4] as number;
    if (length <= VIEW_INLINE_BYTES) {
      return views.subarray(row * VIEW_BYTES + 4, row * VIEW_BYTES + 4 + length);
    }
    const start = words[row * 4 + 3] as number;
    return (others[words[row * 4 + 2] as number] as Uint8Array).subarray(start, start + length);
  };
  if (!isText(column.field)) return (row) => copied(bytes(row));
  return (row) => {
    const found = bytes(row);
    return Buffer.from(found.buffer, found.byteOffset, found.byteLength).toString("utf8");
  };
}

function mapReader(column: Column, offsets: ArrayLike<number>): ValueReader {
  const entries = child(column, 0);
  const keys = readerOf(child(entries, 0));
  const items = readerOf(child(entries, 1));
  return (row) => {
    const map = new Map<unknown, unknown>();
    for (let i = offsets[row] as number; i < (offsets[row + 1] as number); i++) map.set(keys(i), items(i));
    return map;
  };
}

function unionReader(column: Column, dense: boolean): ValueReader {
  const { type } = column.field;
  const ids = type.kind === "union" ? type.ids : [];
  const readers = new Map(column.children.map((c, i) => [ids[i] as number, readerOf(c)]));
  const codes = column.buffers[0] as Uint8Array;
  const offsets = dense ? int32s(column.buffers[1] as Uint8Array) : undefined;
  return (row) => readers.get(codes[row] as number)?.(offsets === undefined ? row : (offsets[row] as number));
}

/** Whole numbers of 64 bits in place. */
export function longs(column: Column): BigInt64Array {
  return int64s(column.buffers[0] as Uint8Array);
}
