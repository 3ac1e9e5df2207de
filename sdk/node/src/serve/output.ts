// A call's output on its way to the engine: inline, in a granted segment, or left out where it is untouched.

import { type Chunk, type Column, chunkBytes } from "../arrow/column.js";
import { type Schema, sameType } from "../arrow/field.js";
import { sliceChunk } from "../arrow/rows.js";
import { type EncodedStream, encodeStream } from "../arrow/writer.js";
import { FailureError } from "../errors.js";
import { partsOf, type Table } from "../table.js";
import type { Segment } from "../wire/plugin.js";
import type { Lane } from "./lane.js";
import type { Segments } from "./segments.js";

/** A larger output goes in several batches, so that no segment is huge. */
const PAYLOAD_BYTES_MAX = 64 << 20;

/** Asks the engine for a segment; undefined when there is none to be had. Throws `LaneError`. */
export type Need = (sizeBytes: number) => Promise<Segment | undefined>;

export class CallOutput {
  readonly #lane: Lane;
  readonly #segments: Segments;
  readonly #need: Need;
  #grant: Segment | undefined;

  /** `grant` is the segment that came with the call; it serves one batch. */
  constructor(lane: Lane, segments: Segments, grant: Segment | undefined, need: Need) {
    this.#lane = lane;
    this.#segments = segments;
    this.#grant = grant;
    this.#need = need;
  }

  /**
   * Sends a table. `whole`: it is all of the output, so it may wait for the result. `input` is given when that is so
   * and the call's input came as one batch: large columns that are the same memory do not travel. Throws
   * `LaneError` and `FailureError`.
   */
  send(table: Table, whole: boolean, input: Table | undefined): void | Promise<void> {
    const { schema, chunks } = partsOf(table);
    const { inlineBytesMax } = this.#lane.limits;
    const bytes = chunks.reduce((sum, chunk) => sum + chunkBytes(chunk), 0);
    if (bytes <= inlineBytesMax) {
      const stream = encodeStream(schema, chunks);
      if (stream.sizeBytes <= inlineBytesMax) {
        this.#sendInline(stream, [], whole);
        return whole ? undefined : this.#lane.drained();
      }
    }
    return this.#sendLarge(schema, chunks, input && partsOf(input).chunks);
  }

  async #sendLarge(
    schema: Schema,
    chunks: readonly Chunk[],
    input: readonly Chunk[] | undefined,
  ): Promise<void> {
    if (input?.length === 1 && chunks.length === 1) {
      const [chunk] = chunks as [Chunk];
      const columns = untouched(chunk, input[0] as Chunk);
      if (columns.length > 0) {
        const rest = withoutUntouched(chunk, columns);
        if (await this.#sentWhole(rest.schema, [rest], columns)) return;
      }
    }
    for (const group of groups(chunks)) {
      if (!(await this.#sentWhole(schema, group, []))) await this.#sendCut(schema, group);
    }
  }

  /** Whether it could be sent as one batch. */
  async #sentWhole(schema: Schema, chunks: readonly Chunk[], columns: number[]): Promise<boolean> {
    const stream = encodeStream(schema, chunks);
    if (stream.sizeBytes > this.#lane.limits.inlineBytesMax) {
      const segment = await this.#granted(stream.sizeBytes);
      if (segment !== undefined) {
        stream.writeTo(this.#segments.output(segment));
        const slice = { segment, offset: 0n, length: BigInt(stream.sizeBytes) };
        this.#lane.send({ $case: "batch", value: { place: { $case: "slice", value: slice }, columns } });
        return true;
      }
      if (stream.sizeBytes > this.#lane.limits.payloadBytesMax) return false;
    }
    this.#sendInline(stream, columns, false);
    await this.#lane.drained();
    return true;
  }

  /** Rows in parts of which each fits into a frame. */
  async #sendCut(schema: Schema, chunks: readonly Chunk[]): Promise<void> {
    const bytesMax = this.#lane.limits.payloadBytesMax;
    const waiting = [...chunks].reverse();
    for (let chunk = waiting.pop(); chunk !== undefined; chunk = waiting.pop()) {
      const stream = encodeStream(schema, [chunk]);
      if (stream.sizeBytes <= bytesMax) {
        this.#sendInline(stream, [], false);
        await this.#lane.drained();
      } else if (chunk.rows < 2) {
        throw new FailureError(
          "step",
          `a single row of ${stream.sizeBytes >> 20} MB does not fit into a message to the engine, whose ` +
            "shared memory is used up; give the run more memory (--memory)",
          "OutOfMemory",
        );
      } else waiting.push(...cut(chunk, Math.ceil(stream.sizeBytes / bytesMax)).reverse());
    }
  }

  #sendInline(stream: EncodedStream, columns: number[], hold: boolean): void {
    const value = { place: { $case: "inline" as const, value: stream.toBytes() }, columns };
    this.#lane.send({ $case: "batch", value }, undefined, hold);
  }

  async #granted(sizeBytes: number): Promise<Segment | undefined> {
    const granted = this.#grant;
    this.#grant = undefined;
    if (granted !== undefined && Number(granted.sizeBytes) >= sizeBytes) return granted;
    return this.#need(sizeBytes);
  }
}

/** The chunks in groups of at most the largest payload; a single row may be larger. */
function* groups(chunks: readonly Chunk[]): Generator<Chunk[]> {
  let group: Chunk[] = [];
  let groupBytes = 0;
  for (const whole of chunks) {
    const parts = Math.max(1, Math.ceil(chunkBytes(whole) / PAYLOAD_BYTES_MAX));
    for (const chunk of cut(whole, parts)) {
      const bytes = chunkBytes(chunk);
      if (group.length > 0 && groupBytes + bytes > PAYLOAD_BYTES_MAX) {
        yield group;
        group = [];
        groupBytes = 0;
      }
      group.push(chunk);
      groupBytes += bytes;
    }
  }
  yield group;
}

function cut(chunk: Chunk, parts: number): Chunk[] {
  const count = Math.min(parts, chunk.rows);
  if (count <= 1) return [chunk];
  return Array.from({ length: count }, (_, i) =>
    sliceChunk(chunk, Math.floor((chunk.rows * i) / count), Math.floor((chunk.rows * (i + 1)) / count)),
  );
}

/**
 * For each output column where it comes from, as `Batch.columns` numbers it; empty when none can be taken from
 * the input.
 */
export function untouched(output: Chunk, input: Chunk): number[] {
  if (output.rows !== input.rows) return [];
  let sent = 0;
  const columns = output.columns.map((column, i) => {
    const field = output.schema.fields[i];
    const place = input.schema.fields.findIndex((other, j) => {
      const same = other.name === field?.name && other.nullable === field.nullable && sameType(other, field);
      return same && sameMemory(column, input.columns[j] as Column);
    });
    return place < 0 ? sent++ : -1 - place;
  });
  return sent < columns.length ? columns : [];
}

function withoutUntouched(chunk: Chunk, columns: readonly number[]): Chunk {
  const sent = columns.flatMap((source, i) => (source >= 0 ? [i] : []));
  const schema = { fields: sent.map((i) => chunk.schema.fields[i] as Schema["fields"][number]) };
  return { schema, rows: chunk.rows, columns: sent.map((i) => chunk.columns[i] as Column) };
}

export function sameMemory(a: Column, b: Column): boolean {
  if (a === b) return true;
  if (a.length !== b.length || a.validity !== b.validity) return false;
  if (a.buffers.length !== b.buffers.length || a.children.length !== b.children.length) return false;
  if (a.buffers.length + a.children.length === 0) return false;
  if (!a.buffers.every((buffer, i) => buffer === b.buffers[i])) return false;
  if (!a.children.every((child, i) => sameMemory(child, b.children[i] as Column))) return false;
  if (a.dictionary === undefined || b.dictionary === undefined) return a.dictionary === b.dictionary;
  return sameMemory(a.dictionary, b.dictionary);
}
