// Reads Arrow IPC streams in place: the buffers of the columns are parts of the bytes that are read.

import { DictionaryBatch } from "apache-arrow/fb/dictionary-batch";
import { Message } from "apache-arrow/fb/message";
import { MessageHeader } from "apache-arrow/fb/message-header";
import { MetadataVersion } from "apache-arrow/fb/metadata-version";
import { RecordBatch } from "apache-arrow/fb/record-batch";
import { Schema as SchemaTable } from "apache-arrow/fb/schema";
import { ByteBuffer } from "flatbuffers";
import { bitsBytes, bytesOf, type Chunk, type Column, copied, emptyColumn } from "./column.js";
import { concatColumns } from "./concat.js";
import { type Field, hasValidity, layoutOf, type Schema } from "./field.js";

import { readSchema } from "./schema_message.js";

const CONTINUATION = -1;
const ALIGNMENT = 8;
const SCHEMAS_MAX = 256;

/** The bytes are no Arrow stream. */
export class StreamError extends Error {
  override name = "StreamError";
}

export interface Stream {
  readonly schema: Schema;
  readonly chunks: readonly Chunk[];
}

/** Throws `StreamError`. */
export function readStream(given: Uint8Array): Stream {
  // Numbers of 64 bits must be aligned to be read in place.
  const data = given.byteOffset % ALIGNMENT === 0 ? bytesOf(given) : copied(given);
  try {
    return new Reader(data).stream();
  } catch (error) {
    if (error instanceof StreamError) throw error;
    throw new StreamError(`no Arrow stream could be read (${(error as Error).message})`, { cause: error });
  }
}

/** Of a stream that may have no batches. Throws `StreamError`. */
export function readStreamSchema(data: Uint8Array): Schema {
  return readStream(data).schema;
}

/** A schema with where its dictionaries belong. Streams of one binding repeat theirs, so they are kept. */
interface KnownSchema {
  readonly schema: Schema;
  readonly dictionaries: ReadonlyMap<bigint, Field>;
}

const known = new Map<string, KnownSchema>();

class Reader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  readonly #dictionaries = new Map<bigint, Column>();
  #at = 0;
  #schema: KnownSchema | undefined;

  constructor(data: Uint8Array) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  stream(): Stream {
    const chunks: Chunk[] = [];
    for (;;) {
      const metadata = this.#metadata();
      if (metadata === undefined) break;
      if (this.#schema === undefined) {
        this.#schema = schemaOf(metadata);
        continue;
      }
      const message = Message.getRootAsMessage(new ByteBuffer(metadata));
      const body = this.#body(Number(message.bodyLength()));
      switch (message.headerType()) {
        case MessageHeader.RecordBatch:
          chunks.push(this.#chunk(message.header(new RecordBatch()), body, this.#schema.schema));
          break;
        case MessageHeader.DictionaryBatch:
          this.#readDictionary(message.header(new DictionaryBatch()), body, this.#schema);
          break;
        default:
          throw new StreamError(`a message of the type ${message.headerType()} in an Arrow stream`);
      }
    }
    if (this.#schema === undefined) throw new StreamError("an Arrow stream without a schema");
    return { schema: this.#schema.schema, chunks };
  }

  /** The flatbuffer of the next message; undefined at the end of the stream. */
  #metadata(): Uint8Array | undefined {
    if (this.#at + 4 > this.#data.byteLength) return undefined;
    let size = this.#view.getInt32(this.#at, true);
    this.#at += 4;
    if (size === CONTINUATION) {
      if (this.#at + 4 > this.#data.byteLength) throw new StreamError("an Arrow stream that is cut off");
      size = this.#view.getInt32(this.#at, true);
      this.#at += 4;
    }
    return size === 0 ? undefined : this.#body(size);
  }

  #body(size: number): Uint8Array {
    const end = this.#at + size;
    if (!(size >= 0) || end > this.#data.byteLength) throw new StreamError("an Arrow stream that is cut off");
    const body = this.#data.subarray(this.#at, end);
    this.#at = end;
    return body;
  }

  #chunk(batch: RecordBatch, body: Uint8Array, schema: Schema): Chunk {
    const rows = Number(batch.length());
    const columns = new BatchReader(batch, body, this.#dictionaries).columns(schema.fields, rows);
    return { schema, rows, columns };
  }

  #readDictionary(table: DictionaryBatch, body: Uint8Array, { dictionaries }: KnownSchema): void {
    const id = table.id();
    const field = dictionaries.get(id);
    const batch = table.data();
    if (field === undefined || batch === null) throw new StreamError(`a dictionary ${id} without a column`);
    const rows = Number(batch.length());
    const [values] = new BatchReader(batch, body, this.#dictionaries).columns([field], rows);
    const before = this.#dictionaries.get(id);
    const delta = table.isDelta() && before !== undefined;
    this.#dictionaries.set(id, delta ? concatColumns([before, values as Column]) : (values as Column));
  }
}

function schemaOf(metadata: Uint8Array): KnownSchema {
  const key = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.byteLength).toString("latin1");
  const found = known.get(key);
  if (found !== undefined) return found;
  const message = Message.getRootAsMessage(new ByteBuffer(metadata));
  if (message.headerType() !== MessageHeader.Schema || message.version() < MetadataVersion.V5) {
    throw new StreamError("an Arrow stream that does not begin with a schema of version 5");
  }
  const schema = readSchema(message.header(new SchemaTable()));
  const dictionaries = new Map<bigint, Field>();
  for (const field of schema.fields) findDictionaries(field, dictionaries);
  const result = { schema, dictionaries };
  if (known.size >= SCHEMAS_MAX) known.delete(known.keys().next().value as string);
  known.set(key, result);
  return result;
}

function findDictionaries(field: Field, found: Map<bigint, Field>): void {
  if (field.dictionary !== undefined) found.set(field.dictionary.id, { ...field, dictionary: undefined });
  for (const child of field.children) findDictionaries(child, found);
}

/** The columns of one record batch, depth first. */
class BatchReader {
  readonly #batch: RecordBatch;
  readonly #body: Uint8Array;
  readonly #dictionaries: ReadonlyMap<bigint, Column>;
  #node = 0;
  #buffer = 0;
  #variadic = 0;

  constructor(batch: RecordBatch, body: Uint8Array, dictionaries: ReadonlyMap<bigint, Column>) {
    if (batch.compression() !== null) throw new StreamError("a compressed Arrow stream");
    this.#batch = batch;
    this.#body = body;
    this.#dictionaries = dictionaries;
  }

  columns(fields: readonly Field[], rows: number): Column[] {
    const columns = fields.map((field) => this.#column(field));
    if (columns.some((column) => column.length !== rows)) {
      throw new StreamError(`a batch of ${rows} rows with a column of another length`);
    }
    return columns;
  }

  #column(field: Field): Column {
    const node = this.#batch.nodes(this.#node++);
    if (node === null) throw new StreamError(`the column \`${field.name}\` is missing`);
    const length = Number(node.length());
    const nullCount = Number(node.nullCount());
    if (!(length >= 0) || !(nullCount >= 0) || nullCount > length) {
      throw new StreamError(`the column \`${field.name}\` has ${length} rows, ${nullCount} of them null`);
    }
    const layout = layoutOf(field);
    let validity: Uint8Array | undefined;
    if (hasValidity(layout)) {
      const bits = this.#next(nullCount > 0 ? bitsBytes(length) : 0);
      if (nullCount > 0) validity = bits;
    }
    let buffers: Uint8Array[];
    switch (layout.shape) {
      case "fixed":
        buffers = [this.#next(length * layout.bytes)];
        break;
      case "bits":
        buffers = [this.#next(bitsBytes(length))];
        break;
      case "bytes":
        buffers = [this.#next(length > 0 ? (length + 1) * layout.offsetBytes : 0), this.#next(0)];
        break;
      case "list":
        buffers = [this.#next(length > 0 ? (length + 1) * layout.offsetBytes : 0)];
        break;
      case "list_view":
        buffers = [this.#next(length * layout.offsetBytes), this.#next(length * layout.offsetBytes)];
        break;
      case "union":
        buffers = layout.dense ? [this.#next(length), this.#next(length * 4)] : [this.#next(length)];
        break;
      case "view": {
        const others = Number(this.#batch.variadicBufferCounts(this.#variadic++) ?? 0n);
        buffers = [this.#next(length * 16)];
        for (let i = 0; i < others; i++) buffers.push(this.#next(0));
        break;
      }
      default:
        buffers = [];
    }
    if (field.dictionary !== undefined) {
      const dictionary = this.#dictionaries.get(field.dictionary.id);
      if (dictionary === undefined && nullCount < length) {
        throw new StreamError(`the column \`${field.name}\` came before its dictionary`);
      }
      const values = dictionary ?? emptyColumn({ ...field, dictionary: undefined });
      return { field, length, nullCount, validity, buffers, children: [], dictionary: values };
    }
    const children = field.children.map((child) => this.#column(child));
    return { field, length, nullCount, validity, buffers, children, dictionary: undefined };
  }

  #next(bytesMin: number): Uint8Array {
    const region = this.#batch.buffers(this.#buffer++);
    if (region === null) throw new StreamError("a batch without all of its buffers");
    const start = Number(region.offset());
    const end = start + Number(region.length());
    if (!(start >= 0) || end < start || end > this.#body.byteLength || end - start < bytesMin) {
      throw new StreamError("a buffer that is not inside of its batch, or too short");
    }
    return this.#body.subarray(start, end);
  }
}
