// Several columns of one type, of any type, as one.

import {
  bitsBytes,
  bytesOf,
  type Chunk,
  type Column,
  copyBits,
  int32s,
  offsetBytes,
  offsetsOf,
  setBits,
} from "./column.js";
import { type IntType, type Layout, layoutOf } from "./field.js";
import { child, runEnds, sliceColumn, withRunEnds } from "./rows.js";

/** Of chunks with the same schema, at least one. */
export function concatChunks(chunks: readonly Chunk[]): Chunk {
  const [first] = chunks as [Chunk];
  if (chunks.length === 1) return first;
  return {
    schema: first.schema,
    rows: chunks.reduce((rows, chunk) => rows + chunk.rows, 0),
    columns: first.columns.map((_, i) => concatColumns(chunks.map((chunk) => chunk.columns[i] as Column))),
  };
}

/** Of columns of one type, at least one. */
export function concatColumns(columns: readonly Column[]): Column {
  const [first] = columns as [Column];
  if (columns.length === 1) return first;
  const length = columns.reduce((rows, column) => rows + column.length, 0);
  const nullCount = columns.reduce((nulls, column) => nulls + column.nullCount, 0);
  const validity = nullCount > 0 ? joinedValidity(columns, length) : undefined;
  const joined = { ...first, length, nullCount, validity };
  const children = (index: number) => concatColumns(columns.map((column) => child(column, index)));
  const layout: Layout = layoutOf(first.field);
  if (first.field.dictionary !== undefined) return { ...joined, ...concatDictionaries(columns) };
  switch (layout.shape) {
    case "none":
      return joined;
    case "fixed":
      return { ...joined, buffers: [joinedFixed(columns, 0, layout.bytes)] };
    case "bits": {
      const bits = new Uint8Array(bitsBytes(length));
      eachAt(columns, (column, at) => copyBits(bits, at, column.buffers[0] as Uint8Array, 0, column.length));
      return { ...joined, buffers: [bits] };
    }
    case "bytes": {
      const parts = columns.map((column) => sliceOfItems(column, layout.offsetBytes));
      const data = joinedBytes(parts.map(({ column, from, to }) => buffer(column, 1).subarray(from, to)));
      return { ...joined, buffers: [joinedOffsets(parts, length, layout.offsetBytes), data] };
    }
    case "list": {
      const parts = columns.map((column) => sliceOfItems(column, layout.offsetBytes));
      const items = parts.map(({ column, from, to }) => sliceColumn(child(column, 0), from, to));
      const buffers = [joinedOffsets(parts, length, layout.offsetBytes)];
      return { ...joined, buffers, children: [concatColumns(items)] };
    }
    case "list_view": {
      const width = layout.offsetBytes;
      const offsets = new Float64Array(length);
      let items = 0;
      eachAt(columns, (column, at) => {
        const given = offsetsOf(buffer(column, 0), width, column.length);
        for (let i = 0; i < column.length; i++) offsets[at + i] = (given[i] as number) + items;
        items += child(column, 0).length;
      });
      const buffers = [offsetBytes(offsets, width), joinedFixed(columns, 1, width)];
      return { ...joined, buffers, children: [children(0)] };
    }
    case "fixed_list":
    case "struct":
      return { ...joined, children: first.children.map((_, i) => children(i)) };
    case "view":
      return { ...joined, buffers: joinedViews(columns, length) };
    case "union": {
      const ids = joinedFixed(columns, 0, 1);
      const all = first.children.map((_, i) => children(i));
      if (!layout.dense) return { ...joined, buffers: [ids], children: all };
      return { ...joined, buffers: [ids, denseOffsets(columns, length)], children: all };
    }
    case "run_end_encoded": {
      const ends: number[] = [];
      eachAt(columns, (column, at) => {
        const given = runEnds(column);
        for (let i = 0; i < child(column, 0).length; i++) ends.push(at + (given[i] as number));
      });
      return { ...joined, children: [withRunEnds(first, ends), children(1)] };
    }
  }
}

function buffer(column: Column, index: number): Uint8Array {
  return column.buffers[index] as Uint8Array;
}

function eachAt(columns: readonly Column[], action: (column: Column, at: number) => void): void {
  let at = 0;
  for (const column of columns) {
    action(column, at);
    at += column.length;
  }
}

function joinedValidity(columns: readonly Column[], length: number): Uint8Array | undefined {
  if (columns.every((column) => column.validity === undefined)) return undefined;
  const bits = new Uint8Array(bitsBytes(length));
  eachAt(columns, (column, at) => {
    if (column.validity === undefined) setBits(bits, at, column.length);
    else copyBits(bits, at, column.validity, 0, column.length);
  });
  return bits;
}

function joinedBytes(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((bytes, part) => bytes + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.byteLength;
  }
  return result;
}

function joinedFixed(columns: readonly Column[], index: number, width: number): Uint8Array {
  return joinedBytes(columns.map((column) => buffer(column, index).subarray(0, column.length * width)));
}

interface Items {
  readonly column: Column;
  readonly offsets: ArrayLike<number>;
  readonly from: number;
  readonly to: number;
}

function sliceOfItems(column: Column, width: number): Items {
  if (column.length === 0) return { column, offsets: [0], from: 0, to: 0 };
  const offsets = offsetsOf(buffer(column, 0), width, column.length + 1);
  return { column, offsets, from: offsets[0] as number, to: offsets[column.length] as number };
}

function joinedOffsets(parts: readonly Items[], length: number, width: number): Uint8Array {
  const result = new Float64Array(length + 1);
  let at = 0;
  let items = 0;
  for (const { column, offsets, from, to } of parts) {
    for (let i = 0; i <= column.length; i++) result[at + i] = (offsets[i] as number) - from + items;
    at += column.length;
    items += to - from;
  }
  return offsetBytes(result, width);
}

const VIEW_INLINE_BYTES = 12;

/** Views of long values name the buffer that holds them by its number. */
function joinedViews(columns: readonly Column[], length: number): Uint8Array[] {
  const views = new Int32Array(length * 4);
  const others: Uint8Array[] = [];
  eachAt(columns, (column, at) => {
    const given = int32s(buffer(column, 0));
    views.set(given.subarray(0, column.length * 4), at * 4);
    for (let i = at * 4; i < (at + column.length) * 4; i += 4) {
      if ((views[i] as number) > VIEW_INLINE_BYTES) views[i + 2] = (views[i + 2] as number) + others.length;
    }
    others.push(...column.buffers.slice(1));
  });
  return [bytesOf(views), ...others];
}

function denseOffsets(columns: readonly Column[], length: number): Uint8Array {
  const { type, children } = (columns[0] as Column).field;
  const ids = type.kind === "union" ? type.ids : [];
  const result = new Int32Array(length);
  const before = new Map(ids.map((id) => [id, 0]));
  eachAt(columns, (column, at) => {
    const codes = buffer(column, 0);
    const offsets = int32s(buffer(column, 1));
    for (let i = 0; i < column.length; i++) {
      result[at + i] = (offsets[i] as number) + (before.get(codes[i] as number) ?? 0);
    }
    ids.forEach((id, i) => {
      if (i < children.length) before.set(id, (before.get(id) as number) + child(column, i).length);
    });
  });
  return bytesOf(result);
}

function concatDictionaries(columns: readonly Column[]): Pick<Column, "buffers" | "dictionary"> {
  const [first] = columns as [Column];
  const index = first.field.dictionary?.index as IntType;
  const width = index.bits / 8;
  if (columns.every((column) => column.dictionary === first.dictionary)) {
    return { buffers: [joinedFixed(columns, 0, width)], dictionary: first.dictionary };
  }
  const dictionary = concatColumns(columns.map((column) => column.dictionary as Column));
  if (dictionary.length > 2 ** (index.bits - (index.signed ? 1 : 0))) {
    throw new RangeError(
      `the dictionaries of \`${first.field.name}\` have ${dictionary.length} values together, too many ` +
        `for indices of ${index.bits} bits; handle the table's batches one by one`,
    );
  }
  const indices = joinedFixed(columns, 0, width);
  const view = new DataView(indices.buffer);
  let before = 0;
  eachAt(columns, (column, at) => {
    for (let i = at * width; i < (at + column.length) * width; i += width) shift(view, i, width, before);
    before += (column.dictionary as Column).length;
  });
  return { buffers: [indices], dictionary };
}

function shift(view: DataView, at: number, width: number, by: number): void {
  if (width === 1) view.setInt8(at, view.getInt8(at) + by);
  else if (width === 2) view.setInt16(at, view.getInt16(at, true) + by, true);
  else if (width === 4) view.setInt32(at, view.getInt32(at, true) + by, true);
  else view.setBigInt64(at, view.getBigInt64(at, true) + BigInt(by), true);
}
