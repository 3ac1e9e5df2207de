// Writes Arrow IPC streams. Their size is known before a byte is copied, so that they can go straight into
// the memory where they are wanted.

import { Buffer as BufferTable } from "apache-arrow/fb/buffer";
import { DictionaryBatch } from "apache-arrow/fb/dictionary-batch";
import { FieldNode } from "apache-arrow/fb/field-node";
import { Message } from "apache-arrow/fb/message";
import { MessageHeader } from "apache-arrow/fb/message-header";
import { MetadataVersion } from "apache-arrow/fb/metadata-version";
import { RecordBatch } from "apache-arrow/fb/record-batch";
import { Builder, type Offset } from "flatbuffers";
import { type Chunk, type Column, EMPTY } from "./column.js";
import { type Field, hasValidity, layoutOf, type Schema } from "./field.js";
import { writeSchema } from "./schema_message.js";

/** Small streams are packed; in large ones every buffer begins where any type can be read in place. */
const SMALL_BODY_BYTES = 4096;
const SMALL_ALIGNMENT = 8;
const LARGE_ALIGNMENT = 64;
const PREFIX_BYTES = 8;
const END_OF_STREAM = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

interface Part {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** A stream that is yet to be written. */
export class EncodedStream {
  readonly #parts: Part[] = [];
  sizeBytes = 0;

  add(bytes: Uint8Array): void {
    if (bytes.byteLength > 0) this.#parts.push({ at: this.sizeBytes, bytes });
    this.sizeBytes += bytes.byteLength;
  }

  /** Bytes without content up to a position. */
  skipTo(position: number): void {
    this.sizeBytes = position;
  }

  /** At the start of `target`, which has room for `sizeBytes`. */
  writeTo(target: Uint8Array): void {
    let end = 0;
    for (const { at, bytes } of this.#parts) {
      if (at > end) target.fill(0, end, at);
      target.set(bytes, at);
      end = at + bytes.byteLength;
    }
    if (this.sizeBytes > end) target.fill(0, end, this.sizeBytes);
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.sizeBytes);
    this.writeTo(bytes);
    return bytes;
  }
}

/** All chunks have the same schema. */
export function encodeStream(schema: Schema, chunks: readonly Chunk[]): EncodedStream {
  const stream = new EncodedStream();
  const { message, fields } = writtenSchema(schema);
  stream.add(message);
  const dictionaries = new Map<bigint, Column>();
  for (const chunk of chunks) {
    chunk.columns.forEach((column, i) => {
      writeDictionaries(stream, column, fields[i] as Field, dictionaries);
    });
    writeBatch(stream, chunk.rows, chunk.columns, undefined);
  }
  stream.add(END_OF_STREAM);
  return stream;
}

/** A stream with a schema and no batch. */
export function encodeSchema(schema: Schema): Uint8Array {
  return encodeStream(schema, []).toBytes();
}

/** Fields with dictionaries numbered anew: columns of one table may come from several streams. */
interface WrittenSchema {
  readonly message: Uint8Array;
  readonly fields: readonly Field[];
}

const written = new WeakMap<Schema, WrittenSchema>();
const builder = new Builder(4096);

function writtenSchema(schema: Schema): WrittenSchema {
  const found = written.get(schema);
  if (found !== undefined) return found;
  const ids = { next: 0n };
  const fields = schema.fields.map((field) => numbered(field, ids));
  builder.clear();
  const header = writeSchema(builder, { ...schema, fields });
  const message = framed(finished(MessageHeader.Schema, header, 0), SMALL_ALIGNMENT, 0);
  const result = { message, fields };
  written.set(schema, result);
  return result;
}

function numbered(field: Field, ids: { next: bigint }): Field {
  const children = field.children.map((child) => numbered(child, ids));
  if (field.dictionary === undefined) return { ...field, children };
  return { ...field, children, dictionary: { ...field.dictionary, id: ids.next++ } };
}

function writeDictionaries(
  stream: EncodedStream,
  column: Column,
  field: Field,
  sent: Map<bigint, Column>,
): void {
  column.children.forEach((child, i) => {
    writeDictionaries(stream, child, field.children[i] as Field, sent);
  });
  const { dictionary } = column;
  if (field.dictionary === undefined || dictionary === undefined) return;
  writeDictionaries(stream, dictionary, { ...field, dictionary: undefined }, sent);
  if (sent.get(field.dictionary.id) === dictionary) return;
  sent.set(field.dictionary.id, dictionary);
  writeBatch(stream, dictionary.length, [dictionary], field.dictionary.id);
}

/** The nodes and buffers of a batch, as the format orders them. */
class BatchParts {
  readonly nodes: Column[] = [];
  readonly buffers: Uint8Array[] = [];
  readonly variadic: number[] = [];

  add(column: Column): void {
    const layout = layoutOf(column.field);
    this.nodes.push(column);
    if (hasValidity(layout)) this.buffers.push(column.validity ?? EMPTY);
    for (const buffer of column.buffers) this.buffers.push(buffer);
    if (layout.shape === "view") this.variadic.push(column.buffers.length - 1);
    if (column.field.dictionary === undefined) for (const child of column.children) this.add(child);
  }
}

function writeBatch(
  stream: EncodedStream,
  rows: number,
  columns: readonly Column[],
  dictionary: bigint | undefined,
): void {
  const parts = new BatchParts();
  for (const column of columns) parts.add(column);
  let bytes = 0;
  for (const buffer of parts.buffers) bytes += buffer.byteLength;
  const alignment = bytes < SMALL_BODY_BYTES ? SMALL_ALIGNMENT : LARGE_ALIGNMENT;
  const offsets: number[] = [];
  let size = 0;
  for (const buffer of parts.buffers) {
    offsets.push(size);
    size = aligned(size + buffer.byteLength, alignment);
  }
  builder.clear();
  let header = batchTable(parts, offsets, rows);
  if (dictionary !== undefined) {
    DictionaryBatch.startDictionaryBatch(builder);
    DictionaryBatch.addId(builder, dictionary);
    DictionaryBatch.addData(builder, header);
    header = DictionaryBatch.endDictionaryBatch(builder);
  }
  const type = dictionary === undefined ? MessageHeader.RecordBatch : MessageHeader.DictionaryBatch;
  stream.add(framed(finished(type, header, size), alignment, stream.sizeBytes));
  const start = stream.sizeBytes;
  parts.buffers.forEach((buffer, i) => {
    stream.skipTo(start + (offsets[i] as number));
    stream.add(buffer);
  });
  stream.skipTo(start + size);
}

function batchTable(parts: BatchParts, offsets: readonly number[], rows: number): Offset {
  let variadic = 0;
  if (parts.variadic.length > 0) {
    variadic = RecordBatch.createVariadicBufferCountsVector(builder, parts.variadic.map(BigInt));
  }
  RecordBatch.startNodesVector(builder, parts.nodes.length);
  for (let i = parts.nodes.length - 1; i >= 0; i--) {
    const node = parts.nodes[i] as Column;
    FieldNode.createFieldNode(builder, BigInt(node.length), BigInt(node.nullCount));
  }
  const nodes = builder.endVector();
  RecordBatch.startBuffersVector(builder, parts.buffers.length);
  for (let i = parts.buffers.length - 1; i >= 0; i--) {
    const length = (parts.buffers[i] as Uint8Array).byteLength;
    BufferTable.createBuffer(builder, BigInt(offsets[i] as number), BigInt(length));
  }
  const buffers = builder.endVector();
  RecordBatch.startRecordBatch(builder);
  RecordBatch.addLength(builder, BigInt(rows));
  RecordBatch.addNodes(builder, nodes);
  RecordBatch.addBuffers(builder, buffers);
  if (variadic !== 0) RecordBatch.addVariadicBufferCounts(builder, variadic);
  return RecordBatch.endRecordBatch(builder);
}

function finished(type: MessageHeader, header: Offset, bodyBytes: number): Uint8Array {
  const message = Message.createMessage(builder, MetadataVersion.V5, type, header, BigInt(bodyBytes), 0);
  builder.finish(message);
  return builder.asUint8Array();
}

/** A message's flatbuffer with its prefix, padded so that what follows at `position` is aligned. */
function framed(metadata: Uint8Array, alignment: number, position: number): Uint8Array {
  const end = aligned(position + PREFIX_BYTES + metadata.byteLength, alignment);
  const bytes = new Uint8Array(end - position);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, -1, true);
  view.setInt32(4, bytes.byteLength - PREFIX_BYTES, true);
  bytes.set(metadata, PREFIX_BYTES);
  return bytes;
}

function aligned(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}
