// Columns as the Arrow format lays them out, of any type. A `Chunk` is a record batch. Nothing here changes
// after it was made, so buffers are shared wherever that is possible.

import { type Field, hasValidity, layoutOf, type Schema } from "./field.js";

export interface Column {
  readonly field: Field;
  readonly length: number;
  readonly nullCount: number;
  /** A bit for each row, set where there is a value; undefined when all rows have one. */
  readonly validity: Uint8Array | undefined;
  /** Those of the layout: indices, offsets, values. */
  readonly buffers: readonly Uint8Array[];
  readonly children: readonly Column[];
  /** The values of a dictionary-encoded column. */
  readonly dictionary: Column | undefined;
}

export interface Chunk {
  readonly schema: Schema;
  readonly rows: number;
  readonly columns: readonly Column[];
}

export const EMPTY = new Uint8Array(0);

export function bitsBytes(count: number): number {
  return (count + 7) >> 3;
}

export function getBit(bits: Uint8Array, index: number): boolean {
  return (((bits[index >> 3] as number) >> (index & 7)) & 1) === 1;
}

export function setBit(bits: Uint8Array, index: number): void {
  bits[index >> 3] = (bits[index >> 3] as number) | (1 << (index & 7));
}

/** Whether row `index` has a value; unions and run-end-encoded columns know it in their children. */
export function isValid(column: Column, index: number): boolean {
  return column.validity === undefined ? column.nullCount === 0 : getBit(column.validity, index);
}

export function countSet(bits: Uint8Array, start: number, end: number): number {
  let count = 0;
  let i = start;
  for (; i < end && (i & 7) !== 0; i++) count += getBit(bits, i) ? 1 : 0;
  for (; i + 8 <= end; i += 8) count += BYTE_COUNTS[bits[i >> 3] as number] as number;
  for (; i < end; i++) count += getBit(bits, i) ? 1 : 0;
  return count;
}

const BYTE_COUNTS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

export function sliceBits(bits: Uint8Array, start: number, end: number): Uint8Array {
  if ((start & 7) === 0) return bits.subarray(start >> 3, (start >> 3) + bitsBytes(end - start));
  const result = new Uint8Array(bitsBytes(end - start));
  copyBits(result, 0, bits, start, end - start);
  return result;
}

export function copyBits(
  target: Uint8Array,
  targetStart: number,
  bits: Uint8Array,
  start: number,
  count: number,
): void {
  if ((targetStart & 7) === 0 && (start & 7) === 0) {
    const whole = count >> 3;
    target.set(bits.subarray(start >> 3, (start >> 3) + whole), targetStart >> 3);
    for (let i = whole << 3; i < count; i++) if (getBit(bits, start + i)) setBit(target, targetStart + i);
    return;
  }
  for (let i = 0; i < count; i++) if (getBit(bits, start + i)) setBit(target, targetStart + i);
}

export function setBits(target: Uint8Array, start: number, count: number): void {
  let i = start;
  const end = start + count;
  for (; i < end && (i & 7) !== 0; i++) setBit(target, i);
  target.fill(0xff, i >> 3, (i >> 3) + ((end - i) >> 3));
  for (i += (end - i) & ~7; i < end; i++) setBit(target, i);
}

/** Always a copy; `Buffer` has a `slice` that makes none. */
export function copied(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy;
}

/** Number arrays over bytes, in place where they are aligned. */
export function int32s(bytes: Uint8Array): Int32Array {
  const source = bytes.byteOffset % 4 === 0 ? bytes : copied(bytes);
  return new Int32Array(source.buffer, source.byteOffset, source.byteLength >> 2);
}

export function int64s(bytes: Uint8Array): BigInt64Array {
  const source = bytes.byteOffset % 8 === 0 ? bytes : copied(bytes);
  return new BigInt64Array(source.buffer, source.byteOffset, source.byteLength >> 3);
}

export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Offsets, sizes or run ends of any width as numbers; those of 32 bits in place. */
export function offsetsOf(bytes: Uint8Array, width: number, count: number): ArrayLike<number> {
  if (width === 4) return int32s(bytes);
  if (width === 2) return new Int16Array(copied(bytes).buffer);
  const wide = int64s(bytes);
  return Float64Array.from({ length: Math.min(count, wide.length) }, (_, i) => Number(wide[i]));
}

export function offsetBytes(offsets: ArrayLike<number>, width: number): Uint8Array {
  if (width === 4) return bytesOf(offsets instanceof Int32Array ? offsets : Int32Array.from(offsets));
  if (width === 2) return bytesOf(Int16Array.from(offsets));
  return bytesOf(BigInt64Array.from({ length: offsets.length }, (_, i) => BigInt(offsets[i] as number)));
}

/** The number of bytes of values, children and dictionaries included. */
export function dataBytes(column: Column): number {
  let bytes = column.validity?.byteLength ?? 0;
  for (const buffer of column.buffers) bytes += buffer.byteLength;
  for (const child of column.children) bytes += dataBytes(child);
  return column.dictionary === undefined ? bytes : bytes + dataBytes(column.dictionary);
}

export function chunkBytes(chunk: Chunk): number {
  let bytes = 0;
  for (const column of chunk.columns) bytes += dataBytes(column);
  return bytes;
}

/** A column without rows, with all the buffers that its type has. */
export function emptyColumn(field: Field): Column {
  const layout = layoutOf(field);
  const children = field.dictionary !== undefined ? [] : field.children.map(emptyColumn);
  const values = field.dictionary && emptyColumn({ ...field, dictionary: undefined });
  const base = { field, length: 0, nullCount: 0, validity: undefined, children, dictionary: values };
  switch (layout.shape) {
    case "none":
    case "struct":
    case "fixed_list":
    case "run_end_encoded":
      return { ...base, buffers: [] };
    case "fixed":
    case "bits":
    case "view":
      return { ...base, buffers: [EMPTY] };
    case "bytes":
      return { ...base, buffers: [new Uint8Array(layout.offsetBytes), EMPTY] };
    case "list":
      return { ...base, buffers: [new Uint8Array(layout.offsetBytes)] };
    case "list_view":
      return { ...base, buffers: [EMPTY, EMPTY] };
    case "union":
      return { ...base, buffers: layout.dense ? [EMPTY, EMPTY] : [EMPTY] };
  }
}

export function emptyChunk(schema: Schema): Chunk {
  return { schema, rows: 0, columns: schema.fields.map(emptyColumn) };
}

/** The same values in memory of their own. */
export function copyColumn(column: Column): Column {
  return {
    ...column,
    validity: column.validity && copied(column.validity),
    buffers: column.buffers.map(copied),
    children: column.children.map(copyColumn),
    dictionary: column.dictionary && copyColumn(column.dictionary),
  };
}

/** A column of nulls. */
export function nullColumn(field: Field, length: number): Column {
  const layout = layoutOf(field);
  const empty = emptyColumn(field);
  const nulls = {
    ...empty,
    length,
    nullCount: length,
    validity: hasValidity(layout) ? new Uint8Array(bitsBytes(length)) : undefined,
  };
  switch (layout.shape) {
    case "none":
      return nulls;
    case "fixed":
      return { ...nulls, buffers: [new Uint8Array(length * layout.bytes)] };
    case "bits":
      return { ...nulls, buffers: [new Uint8Array(bitsBytes(length))] };
    case "view":
      return { ...nulls, buffers: [new Uint8Array(length * 16)] };
    case "bytes":
      return { ...nulls, buffers: [new Uint8Array((length + 1) * layout.offsetBytes), EMPTY] };
    case "list":
      return { ...nulls, buffers: [new Uint8Array((length + 1) * layout.offsetBytes)] };
    case "list_view": {
      const zeros = new Uint8Array(length * layout.offsetBytes);
      return { ...nulls, buffers: [zeros, zeros] };
    }
    case "struct":
      return { ...nulls, children: field.children.map((child) => nullColumn(child, length)) };
    case "fixed_list":
      return { ...nulls, children: field.children.map((child) => nullColumn(child, length * layout.size)) };
    default:
      throw new TypeError(`a column of the type ${field.type.kind} cannot be made of nulls`);
  }
}
