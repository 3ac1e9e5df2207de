// Columns as apache-arrow has them, and back, without copying values.

import * as arrow from "apache-arrow";
import { TableError } from "./build.js";
import { bytesOf, type Column, EMPTY, emptyColumn, sliceBits } from "./column.js";
import { concatColumns } from "./concat.js";
import { type Field, type IntType, layoutOf, type TimeUnit, type Type, typeName } from "./field.js";
import type { Lease } from "./lease.js";

const TIME_UNITS: readonly TimeUnit[] = ["s", "ms", "us", "ns"];
const INTERVAL_UNITS = ["year_month", "day_time", "month_day_nano"] as const;
const FLOAT_BITS = [16, 32, 64] as const;

/** The columns that were handed out, so that they are recognised when they come back. */
const columns = new WeakMap<arrow.Data, Column>();
const dictionaries = new WeakMap<arrow.Vector, Column>();

/** The chunks of one column. Throws `TableError` for a type that apache-arrow does not have. */
export function vectorOf(chunks: readonly Column[], lease: Lease | undefined): arrow.Vector {
  const [first] = chunks as [Column];
  const type = arrowType(first.field);
  const vectors = new Map<Column, arrow.Vector>();
  return new arrow.Vector(chunks.map((chunk) => dataOf(chunk, type, lease, vectors)));
}

export function arrowField(field: Field): arrow.Field {
  const metadata = field.metadata && new Map(field.metadata);
  return new arrow.Field(field.name, arrowType(field), field.nullable, metadata);
}

/** Throws `TableError` for a type that apache-arrow does not have. */
export function arrowType(field: Field): arrow.DataType {
  if (field.dictionary !== undefined) {
    const { id, index, ordered } = field.dictionary;
    const values = arrowType({ ...field, dictionary: undefined });
    return new arrow.Dictionary(values, intType(index) as never, Number(id), ordered);
  }
  const { type } = field;
  const children = () => field.children.map(arrowField);
  const only = () => arrowField(field.children[0] as Field);
  switch (type.kind) {
    case "null":
      return new arrow.Null();
    case "bool":
      return new arrow.Bool();
    case "int":
      return intType(type);
    case "float":
      return new arrow.Float(FLOAT_BITS.indexOf(type.bits));
    case "decimal":
      return new arrow.Decimal(type.scale, type.precision, type.bits);
    case "date":
      return new arrow.Date_(type.unit === "day" ? arrow.DateUnit.DAY : arrow.DateUnit.MILLISECOND);
    case "time":
      return new arrow.Time(TIME_UNITS.indexOf(type.unit) as never, type.bits);
    case "timestamp":
      return new arrow.Timestamp(TIME_UNITS.indexOf(type.unit), type.zone);
    case "duration":
      return new arrow.Duration(TIME_UNITS.indexOf(type.unit));
    case "interval":
      return new arrow.Interval(INTERVAL_UNITS.indexOf(type.unit));
    case "string":
      return new arrow.Utf8();
    case "large_string":
      return new arrow.LargeUtf8();
    case "string_view":
      return new arrow.Utf8View();
    case "binary":
      return new arrow.Binary();
    case "large_binary":
      return new arrow.LargeBinary();
    case "binary_view":
      return new arrow.BinaryView();
    case "fixed_size_binary":
      return new arrow.FixedSizeBinary(type.bytes);
    case "list":
      return new arrow.List(only());
    case "large_list":
      return new arrow.LargeList(only());
    case "fixed_size_list":
      return new arrow.FixedSizeList(type.size, only());
    case "struct":
      return new arrow.Struct(children());
    case "map":
      return new arrow.Map_(only() as never, type.sorted);
    case "union": {
      const mode = type.mode === "dense" ? arrow.UnionMode.Dense : arrow.UnionMode.Sparse;
      return new arrow.Union(mode, [...type.ids], children());
    }
    default:
      throw new TableError(
        `\`${field.name}\` is ${typeName(field)}, which the library apache-arrow does not have; its values ` +
          "can be read with `table.values()`, and the column passes through if it is left alone",
      );
  }
}

function intType(type: IntType): arrow.DataType {
  return new arrow.Int(type.signed as never, type.bits as never);
}

function dataOf(
  column: Column,
  type: arrow.DataType,
  lease: Lease | undefined,
  vectors: Map<Column, arrow.Vector>,
): arrow.Data {
  const layout = layoutOf(column.field);
  const [first, second] = column.buffers as [Uint8Array, Uint8Array];
  const { length, nullCount } = column;
  const children = () => {
    const types = type.children as arrow.Field[];
    return column.children.map((child, i) => dataOf(child, (types[i] as arrow.Field).type, lease, vectors));
  };
  const parts: Record<number, ArrayBufferView | undefined> = {};
  let inner: arrow.Data[] = [];
  let dictionary: arrow.Vector | undefined;
  let variadic: Uint8Array[] | undefined;
  switch (layout.shape) {
    case "fixed":
    case "bits":
      parts[arrow.BufferType.DATA] = typed(type, first);
      break;
    case "view":
      parts[arrow.BufferType.DATA] = first;
      variadic = column.buffers.slice(1);
      break;
    case "bytes":
      parts[arrow.BufferType.OFFSET] = offsetArray(first, layout.offsetBytes);
      parts[arrow.BufferType.DATA] = second;
      break;
    case "list":
      parts[arrow.BufferType.OFFSET] = offsetArray(first, layout.offsetBytes);
      inner = children();
      break;
    case "union":
      parts[arrow.BufferType.TYPE] = new Int8Array(first.buffer, first.byteOffset, first.byteLength);
      if (layout.dense) parts[arrow.BufferType.OFFSET] = offsetArray(second, 4);
      inner = children();
      break;
    case "struct":
    case "fixed_list":
      inner = children();
      break;
  }
  if (column.validity !== undefined) parts[arrow.BufferType.VALIDITY] = column.validity;
  if (column.dictionary !== undefined && arrow.DataType.isDictionary(type)) {
    dictionary = vectors.get(column.dictionary);
    if (dictionary === undefined) {
      dictionary = new arrow.Vector([dataOf(column.dictionary, type.dictionary, lease, vectors)]);
      vectors.set(column.dictionary, dictionary);
      dictionaries.set(dictionary, column.dictionary);
    }
  }
  const data = new arrow.Data(type, 0, length, nullCount, parts as never, inner, dictionary, variadic ?? []);
  columns.set(data, column);
  lease?.give(data);
  return data;
}

function offsetArray(bytes: Uint8Array, width: 4 | 8): Int32Array | BigInt64Array {
  const whole = bytes.byteLength === 0 ? new Uint8Array(width) : bytes;
  if (width === 4) return new Int32Array(whole.buffer, whole.byteOffset, whole.byteLength >> 2);
  return new BigInt64Array(whole.buffer, whole.byteOffset, whole.byteLength >> 3);
}

/** The bytes as the array that apache-arrow uses for the type. */
function typed(type: arrow.DataType, bytes: Uint8Array): ArrayBufferView {
  const of = arrow.DataType.isDictionary(type) ? type.indices : type;
  const array = of.ArrayType as unknown as {
    BYTES_PER_ELEMENT: number;
    new (buffer: ArrayBufferLike, offset: number, length: number): ArrayBufferView;
  };
  return new array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / array.BYTES_PER_ELEMENT));
}

/** The column that an apache-arrow array is. Throws `TableError`. */
export function columnOf(data: arrow.Data, field: Field): Column {
  const found = columns.get(data);
  if (found !== undefined && found.length === data.length) return { ...found, field };
  const { length } = data;
  const layout = layoutOf(field);
  const nullCount = layout.shape === "union" ? 0 : data.nullCount;
  const bits = data.nullBitmap;
  const validity = nullCount > 0 && bits ? sliceBits(bits, data.offset, data.offset + length) : undefined;
  const base = { ...emptyColumn(field), length, nullCount, validity };
  const values = (bytes: number): Uint8Array =>
    data.values ? bytesOf(data.values).subarray(0, bytes) : EMPTY;
  const offsets = (width: number): Uint8Array =>
    length === 0 ? new Uint8Array(width) : bytesOf(data.valueOffsets).subarray(0, (length + 1) * width);
  const children = () => data.children.map((child, i) => columnOf(child, field.children[i] as Field));
  if (field.dictionary !== undefined) {
    const bytes = (length * field.dictionary.index.bits) / 8;
    return { ...base, buffers: [values(bytes)], dictionary: dictionaryOf(data, field) };
  }
  switch (layout.shape) {
    case "none":
      return { ...base, nullCount: length };
    case "bits":
      return { ...base, buffers: [sliceBits(data.values as Uint8Array, data.offset, data.offset + length)] };
    case "fixed":
      return { ...base, buffers: [values(length * layout.bytes)] };
    case "bytes":
      return { ...base, buffers: [offsets(layout.offsetBytes), values(Number.POSITIVE_INFINITY)] };
    case "view":
      return { ...base, buffers: [values(length * 16), ...data.variadicBuffers] };
    case "list":
      return { ...base, buffers: [offsets(layout.offsetBytes)], children: children() };
    case "union": {
      const ids = bytesOf(data.typeIds as Int8Array).subarray(0, length);
      const buffers = layout.dense ? [ids, bytesOf(data.valueOffsets).subarray(0, length * 4)] : [ids];
      return { ...base, buffers, children: children() };
    }
    default:
      return { ...base, children: children() };
  }
}

function dictionaryOf(data: arrow.Data, field: Field): Column {
  const vector = data.dictionary;
  const values = { ...field, dictionary: undefined };
  if (vector === undefined || vector.data.length === 0) return emptyColumn(values);
  let found = dictionaries.get(vector);
  if (found === undefined) {
    found = concatColumns(vector.data.map((part) => columnOf(part, values)));
    dictionaries.set(vector, found);
  }
  return found;
}

/** Throws `TableError` for a type that is not known here. */
export function fieldOf(field: arrow.Field): Field {
  const { metadata } = field;
  const of = fieldOfType(field.name, field.type, field.nullable);
  return metadata.size === 0 ? of : { ...of, metadata: new Map(metadata) };
}

export function fieldOfType(name: string, type: arrow.DataType, nullable: boolean): Field {
  if (arrow.DataType.isDictionary(type)) {
    const values = fieldOfType(name, type.dictionary as arrow.DataType, nullable);
    const index = typeOf(type.indices as arrow.DataType) as IntType;
    return { ...values, dictionary: { id: BigInt(type.id), index, ordered: type.isOrdered } };
  }
  const children = ((type.children ?? []) as arrow.Field[]).map(fieldOf);
  return { name, type: typeOf(type), nullable, children };
}

function typeOf(type: arrow.DataType): Type {
  const is = arrow.DataType;
  if (is.isNull(type)) return { kind: "null" };
  if (is.isBool(type)) return { kind: "bool" };
  if (is.isInt(type)) return { kind: "int", bits: type.bitWidth as 64, signed: type.isSigned };
  if (is.isFloat(type)) return { kind: "float", bits: FLOAT_BITS[type.precision] as 64 };
  if (is.isDecimal(type)) {
    return { kind: "decimal", bits: type.bitWidth, precision: type.precision, scale: type.scale };
  }
  if (is.isDate(type)) return { kind: "date", unit: type.unit === arrow.DateUnit.DAY ? "day" : "ms" };
  if (is.isTime(type)) return { kind: "time", bits: type.bitWidth as 64, unit: unitOf(type.unit) };
  if (is.isTimestamp(type)) {
    return { kind: "timestamp", unit: unitOf(type.unit), zone: type.timezone ?? undefined };
  }
  if (is.isDuration(type)) return { kind: "duration", unit: unitOf(type.unit) };
  if (is.isInterval(type)) return { kind: "interval", unit: INTERVAL_UNITS[type.unit] as "day_time" };
  if (is.isUtf8(type)) return { kind: "string" };
  if (is.isLargeUtf8(type)) return { kind: "large_string" };
  if (is.isUtf8View(type)) return { kind: "string_view" };
  if (is.isBinary(type)) return { kind: "binary" };
  if (is.isLargeBinary(type)) return { kind: "large_binary" };
  if (is.isBinaryView(type)) return { kind: "binary_view" };
  if (is.isFixedSizeBinary(type)) return { kind: "fixed_size_binary", bytes: type.byteWidth };
  if (is.isList(type)) return { kind: "list" };
  if (is.isLargeList(type)) return { kind: "large_list" };
  if (is.isFixedSizeList(type)) return { kind: "fixed_size_list", size: type.listSize };
  if (is.isStruct(type)) return { kind: "struct" };
  if (is.isMap(type)) return { kind: "map", sorted: type.keysSorted };
  if (is.isUnion(type)) {
    const mode = type.mode === arrow.UnionMode.Dense ? "dense" : "sparse";
    return { kind: "union", mode, ids: [...type.typeIds] };
  }
  throw new TableError(`the Arrow type ${type} is not known here`);
}

function unitOf(unit: number): TimeUnit {
  return TIME_UNITS[unit] as TimeUnit;
}
