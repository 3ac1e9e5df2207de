// Rows of columns of any type: a part of them, or a choice.

import {
  bitsBytes,
  bytesOf,
  type Chunk,
  type Column,
  countSet,
  getBit,
  int32s,
  int64s,
  offsetBytes,
  offsetsOf,
  setBit,
  sliceBits,
} from "./column.js";
import { type IntType, layoutOf } from "./field.js";

export type RowNumbers = ArrayLike<number>;

/** Rows `start` to `end` - 1; values of fixed width stay where they are. */
export function sliceChunk(chunk: Chunk, start: number, end: number): Chunk {
  if (start === 0 && end === chunk.rows) return chunk;
  return {
    schema: chunk.schema,
    rows: end - start,
    columns: chunk.columns.map((column) => sliceColumn(column, start, end)),
  };
}

export function takeChunk(chunk: Chunk, rows: RowNumbers): Chunk {
  return {
    schema: chunk.schema,
    rows: rows.length,
    columns: chunk.columns.map((column) => takeColumn(column, rows)),
  };
}

export function sliceColumn(column: Column, start: number, end: number): Column {
  if (start === 0 && end === column.length) return column;
  const length = end - start;
  const layout = layoutOf(column.field);
  const sliced = { ...column, length, ...slicedValidity(column, start, end) };
  const [first, second] = column.buffers as [Uint8Array, Uint8Array];
  switch (layout.shape) {
    case "none":
      return { ...sliced, nullCount: length };
    case "fixed":
      return { ...sliced, buffers: [first.subarray(start * layout.bytes, end * layout.bytes)] };
    case "bits":
      return { ...sliced, buffers: [sliceBits(first, start, end)] };
    case "bytes": {
      const [offsets, from, to] = slicedOffsets(column, start, end, layout.offsetBytes);
      return { ...sliced, buffers: [offsets, second.subarray(from, to)] };
    }
    case "list": {
      const [offsets, from, to] = slicedOffsets(column, start, end, layout.offsetBytes);
      return { ...sliced, buffers: [offsets], children: [sliceColumn(child(column, 0), from, to)] };
    }
    case "list_view": {
      const { offsetBytes: width } = layout;
      return {
        ...sliced,
        buffers: [first.subarray(start * width, end * width), second.subarray(start * width, end * width)],
      };
    }
    case "fixed_list": {
      const items = sliceColumn(child(column, 0), start * layout.size, end * layout.size);
      return { ...sliced, children: [items] };
    }
    case "struct":
      return { ...sliced, children: column.children.map((c) => sliceColumn(c, start, end)) };
    case "view":
      return { ...sliced, buffers: [first.subarray(start * 16, end * 16), ...column.buffers.slice(1)] };
    case "union": {
      const ids = first.subarray(start, end);
      if (layout.dense) return { ...sliced, buffers: [ids, second.subarray(start * 4, end * 4)] };
      const children = column.children.map((c) => sliceColumn(c, start, end));
      return { ...sliced, buffers: [ids], children };
    }
    case "run_end_encoded": {
      const numbers = Int32Array.from({ length }, (_, i) => start + i);
      return takeColumn(column, numbers);
    }
  }
}

export function child(column: Column, index: number): Column {
  return column.children[index] as Column;
}

function slicedValidity(column: Column, start: number, end: number): Pick<Column, "validity" | "nullCount"> {
  if (column.validity === undefined) return { validity: undefined, nullCount: 0 };
  const nullCount = end - start - countSet(column.validity, start, end);
  return { validity: nullCount === 0 ? undefined : sliceBits(column.validity, start, end), nullCount };
}

/** The offsets beginning with 0, and the items that they stand for. */
function slicedOffsets(
  column: Column,
  start: number,
  end: number,
  width: number,
): [Uint8Array, number, number] {
  if (start === end) return [new Uint8Array(width), 0, 0];
  const bytes = column.buffers[0] as Uint8Array;
  if (width === 4) {
    const offsets = int32s(bytes).slice(start, end + 1);
    const from = offsets[0] as number;
    const to = offsets[end - start] as number;
    if (from !== 0) for (let i = 0; i < offsets.length; i++) offsets[i] = (offsets[i] as number) - from;
    return [bytesOf(offsets), from, to];
  }
  const offsets = int64s(bytes).slice(start, end + 1);
  const from = offsets[0] as bigint;
  const to = offsets[end - start] as bigint;
  for (let i = 0; i < offsets.length; i++) offsets[i] = (offsets[i] as bigint) - from;
  return [bytesOf(offsets), Number(from), Number(to)];
}

export function takeColumn(column: Column, rows: RowNumbers): Column {
  const length = rows.length;
  const layout = layoutOf(column.field);
  const taken = { ...column, length, ...takenValidity(column, rows) };
  const [first, second] = column.buffers as [Uint8Array, Uint8Array];
  switch (layout.shape) {
    case "none":
      return { ...taken, nullCount: length };
    case "fixed":
      return { ...taken, buffers: [takeFixed(first, layout.bytes, rows)] };
    case "bits":
      return { ...taken, buffers: [takeBits(first, rows)] };
    case "bytes": {
      const offsets = offsetsOf(first, layout.offsetBytes, column.length + 1);
      const ends = takenOffsets(offsets, rows);
      const data = new Uint8Array(ends[length] as number);
      for (let i = 0; i < length; i++) {
        const row = rows[i] as number;
        copyBytes(data, ends[i] as number, second, offsets[row] as number, offsets[row + 1] as number);
      }
      return { ...taken, buffers: [offsetBytes(ends, layout.offsetBytes), data] };
    }
    case "list": {
      const offsets = offsetsOf(first, layout.offsetBytes, column.length + 1);
      const ends = takenOffsets(offsets, rows);
      const items = new Int32Array(ends[length] as number);
      for (let i = 0, at = 0; i < length; i++) {
        const row = rows[i] as number;
        const end = offsets[row + 1] as number;
        for (let item = offsets[row] as number; item < end; item++) items[at++] = item;
      }
      const buffers = [offsetBytes(ends, layout.offsetBytes)];
      return { ...taken, buffers, children: [takeColumn(child(column, 0), items)] };
    }
    case "list_view": {
      const width = layout.offsetBytes;
      return { ...taken, buffers: [takeFixed(first, width, rows), takeFixed(second, width, rows)] };
    }
    case "fixed_list": {
      const { size } = layout;
      const items = new Int32Array(length * size);
      for (let i = 0, at = 0; i < length; i++) {
        for (let j = 0; j < size; j++) items[at++] = (rows[i] as number) * size + j;
      }
      return { ...taken, children: [takeColumn(child(column, 0), items)] };
    }
    case "struct":
      return { ...taken, children: column.children.map((c) => takeColumn(c, rows)) };
    case "view":
      return { ...taken, buffers: [takeFixed(first, 16, rows), ...column.buffers.slice(1)] };
    case "union": {
      if (layout.dense) return { ...taken, ...takeDense(column, rows) };
      const ids = takeFixed(first, 1, rows);
      return { ...taken, buffers: [ids], children: column.children.map((c) => takeColumn(c, rows)) };
    }
    case "run_end_encoded":
      return { ...taken, children: takeRuns(column, rows) };
  }
}

function takenValidity(column: Column, rows: RowNumbers): Pick<Column, "validity" | "nullCount"> {
  const { validity } = column;
  if (validity === undefined) return { validity: undefined, nullCount: 0 };
  const bits = takeBits(validity, rows);
  const nullCount = rows.length - countSet(bits, 0, rows.length);
  return { validity: nullCount === 0 ? undefined : bits, nullCount };
}

function takeBits(bits: Uint8Array, rows: RowNumbers): Uint8Array {
  const result = new Uint8Array(bitsBytes(rows.length));
  for (let i = 0; i < rows.length; i++) if (getBit(bits, rows[i] as number)) setBit(result, i);
  return result;
}

function takeFixed(bytes: Uint8Array, width: number, rows: RowNumbers): Uint8Array {
  if (width % 4 === 0) return takeWords(int32s(bytes), width / 4, rows);
  const result = new Uint8Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) {
    const start = (rows[i] as number) * width;
    for (let j = 0; j < width; j++) result[i * width + j] = bytes[start + j] as number;
  }
  return result;
}

/** Values of whole words, which are copied without making a number of each. */
function takeWords(words: Int32Array, width: number, rows: RowNumbers): Uint8Array {
  const result = new Int32Array(rows.length * width);
  if (width === 1) {
    for (let i = 0; i < rows.length; i++) result[i] = words[rows[i] as number] as number;
  } else if (width === 2) {
    for (let i = 0; i < rows.length; i++) {
      const start = (rows[i] as number) * 2;
      result[i * 2] = words[start] as number;
      result[i * 2 + 1] = words[start + 1] as number;
    }
  } else {
    for (let i = 0; i < rows.length; i++) {
      const start = (rows[i] as number) * width;
      for (let j = 0; j < width; j++) result[i * width + j] = words[start + j] as number;
    }
  }
  return bytesOf(result);
}

const SHORT_BYTES = 24;

function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  if (end - start > SHORT_BYTES) {
    target.set(source.subarray(start, end), at);
    return;
  }
  for (let i = start, to = at; i < end; i++) target[to++] = source[i] as number;
}

function takenOffsets(offsets: ArrayLike<number>, rows: RowNumbers): Float64Array {
  const ends = new Float64Array(rows.length + 1);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    ends[i + 1] = (ends[i] as number) + ((offsets[row + 1] as number) - (offsets[row] as number));
  }
  return ends;
}

function runEndBytes(column: Column): number {
  return (child(column, 0).field.type as IntType).bits / 8;
}

/** The offsets into each child of a dense union must ascend, so the children are taken too. */
function takeDense(column: Column, rows: RowNumbers): Pick<Column, "buffers" | "children"> {
  const ids = takeFixed(column.buffers[0] as Uint8Array, 1, rows);
  const given = int32s(column.buffers[1] as Uint8Array);
  const { type } = column.field;
  const taken = new Map((type.kind === "union" ? type.ids : []).map((id) => [id, [] as number[]]));
  const offsets = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const items = taken.get(ids[i] as number);
    if (items === undefined) throw new RangeError(`a union has no child ${ids[i]}`);
    offsets[i] = items.length;
    items.push(given[rows[i] as number] as number);
  }
  const items = [...taken.values()];
  const children = column.children.map((c, i) => takeColumn(c, items[i] ?? []));
  return { buffers: [ids, bytesOf(offsets)], children };
}

/** The ends of the runs of a run-end-encoded column. */
export function runEnds(column: Column): ArrayLike<number> {
  const ends = child(column, 0);
  return offsetsOf(ends.buffers[0] as Uint8Array, runEndBytes(column), ends.length);
}

/** The run that a row belongs to. */
export function runOf(ends: ArrayLike<number>, count: number, row: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] as number) > row) high = middle;
    else low = middle + 1;
  }
  return low;
}

function takeRuns(column: Column, rows: RowNumbers): Column[] {
  const ends = runEnds(column);
  const count = child(column, 0).length;
  const runs: number[] = [];
  const newEnds: number[] = [];
  for (let i = 0; i < rows.length; i++) {
    const run = runOf(ends, count, rows[i] as number);
    if (runs.at(-1) !== run) {
      runs.push(run);
      newEnds.push(i + 1);
    } else newEnds[newEnds.length - 1] = i + 1;
  }
  return [withRunEnds(column, newEnds), takeColumn(child(column, 1), runs)];
}

export function withRunEnds(column: Column, ends: readonly number[]): Column {
  return {
    ...child(column, 0),
    length: ends.length,
    nullCount: 0,
    validity: undefined,
    buffers: [offsetBytes(ends, runEndBytes(column))],
  };
}
