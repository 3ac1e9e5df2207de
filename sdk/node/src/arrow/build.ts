// Columns from JavaScript values.

import * as arrow from "apache-arrow";
import { bitsBytes, bytesOf, type Column, emptyColumn, offsetBytes, setBit, setBits } from "./column.js";
import { type Field, type IntType, layoutOf, type Type, typeName } from "./field.js";
import { DAY_MS } from "./values.js";

/** A value that does not fit its column, or a table that cannot be made. */
export class TableError extends TypeError {
  override name = "TableError";
}

type Values = ArrayLike<unknown>;

/** Throws `TableError`, with the row. */
export function columnFromValues(field: Field, values: Values): Column {
  const typed = fromTypedArray(field, values);
  if (typed !== undefined) return typed;
  return new ColumnBuilder(field, values).column();
}

const TYPED_KINDS: readonly [new (...args: never[]) => ArrayBufferView, string][] = [
  [BigInt64Array, "int64"],
  [BigUint64Array, "uint64"],
  [Int32Array, "int32"],
  [Uint32Array, "uint32"],
  [Int16Array, "int16"],
  [Uint16Array, "uint16"],
  [Int8Array, "int8"],
  [Uint8Array, "uint8"],
  [Float64Array, "float64"],
  [Float32Array, "float32"],
];

function numberKind(type: Type): string | undefined {
  if (type.kind === "int") return `${type.signed ? "" : "u"}int${type.bits}`;
  if (type.kind === "float") return `float${type.bits}`;
  if (type.kind === "timestamp" || type.kind === "duration") return "int64";
  return type.kind === "time" ? `int${type.bits}` : undefined;
}

/** An array of the column's own numbers is taken as it is. */
function fromTypedArray(field: Field, values: Values): Column | undefined {
  if (!ArrayBuffer.isView(values) || field.dictionary !== undefined) return undefined;
  const kind = numberKind(field.type);
  if (!TYPED_KINDS.some(([array, of]) => of === kind && values instanceof array)) return undefined;
  return { ...emptyColumn(field), length: values.length, buffers: [bytesOf(values)] };
}

class ColumnBuilder {
  readonly #field: Field;
  readonly #values: Values;
  readonly #length: number;
  #validity: Uint8Array | undefined;
  #nullCount = 0;

  constructor(field: Field, values: Values) {
    this.#field = field;
    this.#values = values;
    this.#length = values.length;
  }

  column(): Column {
    const field = this.#field;
    this.#findNulls();
    const base = {
      ...emptyColumn(field),
      length: this.#length,
      nullCount: this.#nullCount,
      validity: this.#validity,
    };
    if (field.dictionary !== undefined) return { ...base, ...this.#dictionary(field.dictionary.index) };
    const layout = layoutOf(field);
    switch (layout.shape) {
      case "none":
        return { ...base, nullCount: this.#length, validity: undefined };
      case "bits":
        return { ...base, buffers: [this.#bits()] };
      case "fixed":
        return { ...base, buffers: [this.#fixed(layout.bytes)] };
      case "bytes":
        return { ...base, buffers: this.#bytes(layout.offsetBytes) };
      case "list": {
        const [ends, items] = this.#items();
        const children = [columnFromValues(field.children[0] as Field, items)];
        return { ...base, buffers: [offsetBytes(ends, layout.offsetBytes)], children };
      }
      case "fixed_list": {
        const children = [columnFromValues(field.children[0] as Field, this.#fixedItems(layout.size))];
        return { ...base, buffers: [], children };
      }
      case "struct":
        return { ...base, buffers: [], children: field.children.map((child) => this.#member(child)) };
      default:
        throw new TableError(
          `\`${field.name}\` is ${typeName(field)}, which cannot be made of JavaScript values; ` +
            "give a column of an Arrow table",
        );
    }
  }

  #findNulls(): void {
    for (let row = 0; row < this.#length; row++) {
      const value = this.#values[row];
      if (value !== null && value !== undefined) continue;
      if (this.#nullCount++ === 0) {
        if (!this.#field.nullable && this.#field.type.kind !== "null") throw this.#wrong(row);
        this.#validity = new Uint8Array(bitsBytes(this.#length));
        setBits(this.#validity, 0, this.#length);
      }
      const bits = this.#validity as Uint8Array;
      bits[row >> 3] = (bits[row >> 3] as number) & ~(1 << (row & 7));
    }
  }

  #wrong(row: number): TableError {
    const name = this.#field.name === "" ? "a column" : `\`${this.#field.name}\``;
    const type = typeName(this.#field, this.#field.nullable);
    return new TableError(`${name} is ${type}, but row ${row} has ${described(this.#values[row])}`);
  }

  #eachValid(action: (value: unknown, row: number) => boolean): void {
    for (let row = 0; row < this.#length; row++) {
      const value = this.#values[row];
      if (value !== null && value !== undefined && !action(value, row)) throw this.#wrong(row);
    }
  }

  #bits(): Uint8Array {
    const bits = new Uint8Array(bitsBytes(this.#length));
    this.#eachValid((value, row) => {
      if (value === true) setBit(bits, row);
      return typeof value === "boolean";
    });
    return bits;
  }

  #fixed(width: number): Uint8Array {
    const bytes = new Uint8Array(this.#length * width);
    const write = fixedWriter(this.#field.type, new DataView(bytes.buffer), bytes);
    this.#eachValid((value, row) => write(value, row * width));
    return bytes;
  }

  #bytes(width: number): Uint8Array[] {
    const isText = this.#field.type.kind.endsWith("string");
    const parts: Uint8Array[] = [];
    const ends = new Float64Array(this.#length + 1);
    let size = 0;
    for (let row = 0; row < this.#length; row++) {
      const value = this.#values[row];
      if (value !== null && value !== undefined) {
        const part = isText ? encoded(value) : asBytes(value);
        if (part === undefined) throw this.#wrong(row);
        parts.push(part);
        size += part.byteLength;
      }
      ends[row + 1] = size;
    }
    if (width === 4 && size > 2 ** 31 - 1) throw new TableError(`\`${this.#field.name}\` is above 2 GB`);
    return [offsetBytes(ends, width), bytesOf(Buffer.concat(parts, size))];
  }

  #items(): [Float64Array, unknown[]] {
    const isMap = this.#field.type.kind === "map";
    const ends = new Float64Array(this.#length + 1);
    const items: unknown[] = [];
    for (let row = 0; row < this.#length; row++) {
      const value = this.#values[row];
      if (value !== null && value !== undefined) {
        const list = isMap ? asEntries(value) : asList(value);
        if (list === undefined) throw this.#wrong(row);
        for (let i = 0; i < list.length; i++) items.push(list[i]);
      }
      ends[row + 1] = items.length;
    }
    if (!isMap) return [ends, items];
    const names = (this.#field.children[0] as Field).children.map((child) => child.name);
    const entries = (items as [unknown, unknown][]).map(([key, value]) => ({
      [names[0] as string]: key,
      [names[1] as string]: value,
    }));
    return [ends, entries];
  }

  #fixedItems(size: number): unknown[] {
    const filler = (this.#field.children[0] as Field).nullable
      ? null
      : zeroOf(this.#field.children[0] as Field);
    const items: unknown[] = new Array(this.#length * size).fill(filler);
    this.#eachValid((value, row) => {
      const list = asList(value);
      if (list?.length !== size) return false;
      for (let i = 0; i < size; i++) items[row * size + i] = list[i];
      return true;
    });
    return items;
  }

  #member(child: Field): Column {
    const filler = child.nullable ? null : zeroOf(child);
    const values: unknown[] = new Array(this.#length).fill(filler);
    this.#eachValid((value, row) => {
      if (typeof value !== "object") return false;
      values[row] = (value as Record<string, unknown>)[child.name];
      return true;
    });
    return columnFromValues(child, values);
  }

  #dictionary(index: IntType): Pick<Column, "buffers" | "dictionary"> {
    const numbers = new Map<unknown, number>();
    const indices = new Array<number | bigint>(this.#length).fill(index.bits === 64 ? 0n : 0);
    this.#eachValid((value, row) => {
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      indices[row] = index.bits === 64 ? BigInt(number) : number;
      return true;
    });
    const field: Field = { name: this.#field.name, type: index, nullable: false, children: [] };
    const values = { ...this.#field, dictionary: undefined };
    return {
      buffers: columnFromValues(field, indices).buffers,
      dictionary: columnFromValues(values, [...numbers.keys()]),
    };
  }
}

/** What stands under a null, where the values themselves may not be null. */
function zeroOf(field: Field): unknown {
  const { kind } = field.type;
  if (kind === "bool") return false;
  if (kind.endsWith("string")) return "";
  if (kind === "list" || kind === "large_list") return [];
  if (kind === "map") return new Map();
  if (kind === "struct")
    return Object.fromEntries(field.children.map((child) => [child.name, zeroOf(child)]));
  if (kind === "binary" || kind === "large_binary") return new Uint8Array(0);
  return kind === "fixed_size_binary" ? new Uint8Array((field.type as { bytes: number }).bytes) : 0;
}

function encoded(value: unknown): Uint8Array | undefined {
  return typeof value === "string" ? Buffer.from(value, "utf8") : undefined;
}

function asBytes(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return bytesOf(value);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

function asList(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? (value as never) : undefined;
}

function asEntries(value: unknown): ArrayLike<unknown> | undefined {
  if (value instanceof Map) return [...value];
  return typeof value === "object" && !Array.isArray(value) ? Object.entries(value as object) : undefined;
}

function described(value: unknown): string {
  if (value === null || value === undefined) return "no value";
  if (typeof value === "number" || typeof value === "bigint") return `the number ${value}`;
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? (value.constructor?.name ?? "an object") : `a ${typeof value}`;
}

/** Writes a value at an offset; tells whether it fits. */
type Write = (value: unknown, at: number) => boolean;

function fixedWriter(type: Type, view: DataView, bytes: Uint8Array): Write {
  switch (type.kind) {
    case "int":
      return intWriter(type, view);
    case "float":
      return (value, at) => {
        if (typeof value !== "number") return false;
        if (type.bits === 64) view.setFloat64(at, value, true);
        else if (type.bits === 32) view.setFloat32(at, value, true);
        else view.setUint16(at, arrow.util.float64ToUint16(value), true);
        return true;
      };
    case "decimal":
      return (value, at) => {
        const unscaled = unscaledOf(value, type.scale);
        const limit = 10n ** BigInt(type.precision);
        if (unscaled === undefined || unscaled >= limit || unscaled <= -limit) return false;
        for (let i = 0; i < type.bits; i += 32) {
          view.setUint32(at + i / 8, Number(BigInt.asUintN(32, unscaled >> BigInt(i))), true);
        }
        return true;
      };
    case "date": {
      const day = type.unit === "day";
      const write = intWriter({ kind: "int", bits: day ? 32 : 64, signed: true }, view);
      return (value, at) => {
        const ms = value instanceof Date ? value.getTime() : Number.NaN;
        return write(day ? Math.floor(ms / DAY_MS) : ms, at);
      };
    }
    case "timestamp": {
      const write = intWriter(LONG, view);
      const perMs = { s: 0.001, ms: 1, us: 1000, ns: 1_000_000 }[type.unit];
      return (value, at) => {
        if (!(value instanceof Date)) return write(value, at);
        const ms = value.getTime();
        if (Number.isNaN(ms)) return false;
        return write(perMs < 1 ? Math.floor(ms * perMs) : BigInt(ms) * BigInt(perMs), at);
      };
    }
    case "time":
      return intWriter({ kind: "int", bits: type.bits, signed: true }, view);
    case "duration":
      return intWriter(LONG, view);
    case "interval":
      return (value, at) => writeInterval(type.unit, view, value as Record<string, unknown>, at);
    case "fixed_size_binary":
      return (value, at) => {
        const given = asBytes(value);
        if (given?.byteLength !== type.bytes) return false;
        bytes.set(given, at);
        return true;
      };
    default:
      return () => false;
  }
}

const LONG: IntType = { kind: "int", bits: 64, signed: true };

function intWriter(type: IntType, view: DataView): Write {
  const { bits, signed } = type;
  if (bits === 64) {
    return (value, at) => {
      const whole =
        typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
      if (whole === undefined || (signed ? BigInt.asIntN(64, whole) : BigInt.asUintN(64, whole)) !== whole) {
        return false;
      }
      view.setBigInt64(at, whole, true);
      return true;
    };
  }
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = 2 ** (signed ? bits - 1 : bits) - 1;
  return (given, at) => {
    const value = typeof given === "bigint" ? Number(given) : given;
    if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) return false;
    if (bits === 8) view.setInt8(at, value as number);
    else if (bits === 16) view.setInt16(at, value as number, true);
    else view.setInt32(at, value as number, true);
    return true;
  };
}

/** A decimal's digits without its point; undefined when it has more of them after the point than `scale`. */
function unscaledOf(value: unknown, scale: number): bigint | undefined {
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "bigint") return undefined;
  const match = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(String(value));
  if (match === null) return undefined;
  const [, sign, whole = "", fraction = ""] = match;
  const digits = fraction.replace(/0+$/, "");
  if (digits.length > Math.max(scale, 0)) return undefined;
  const unscaled = BigInt(whole + digits.padEnd(Math.max(scale, 0), "0"));
  return sign === "-" ? -unscaled : unscaled;
}

function writeInterval(unit: string, view: DataView, value: Record<string, unknown>, at: number): boolean {
  if (unit === "year_month") return intWriter({ kind: "int", bits: 32, signed: true }, view)(value, at);
  const write = intWriter({ kind: "int", bits: 32, signed: true }, view);
  if (unit === "day_time") return write(value.days, at) && write(value.milliseconds, at + 4);
  return (
    write(value.months, at) && write(value.days, at + 4) && intWriter(LONG, view)(value.nanoseconds, at + 8)
  );
}
