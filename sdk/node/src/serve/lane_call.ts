// One call over a lane: reads its input, calls the step, and answers. It always ends with a `Result`, unless
// the lane itself is of no use any more.

import type { Chunk } from "../arrow/column.js";
import { sameSchema } from "../arrow/field.js";
import { Lease } from "../arrow/lease.js";
import { readStream, type Stream, StreamError } from "../arrow/reader.js";
import type { CallControl, CallInfo, Listener, LogLevel } from "../call.js";
import { CancelledError, encodeFailure, FailureError, protocolError } from "../errors.js";
import { type Table, tableOf } from "../table.js";
import type { Batch, Call as CallMessage, Failure, Grant, Segment } from "../wire/plugin.js";
import type { Calls } from "./calls.js";
import { givenBy, takenBy } from "./chain.js";
import { type Lane, LaneError, type Received, type Sent } from "./lane.js";
import { CallOutput } from "./output.js";
import type { Binding, Registry } from "./registry.js";
import { SegmentError, type Segments } from "./segments.js";

const REJECTION_ROWS_MAX = 1 << 20;
const TEXT_CHARS_MAX = 64 << 10;
/** So long a source may keep the thread before what else waits has its turn. */
const TURN_MS = 10;

/** What all lanes of the process share. */
export interface Served {
  readonly registry: Registry;
  readonly calls: Calls;
  readonly segments: Segments;
}

export class LaneCall implements Listener {
  readonly #lane: Lane;
  readonly #served: Served;
  readonly #begin: CallMessage;
  readonly #batches: Batch[] = [];
  readonly #lease = new Lease();
  /** Segments of the input, given back with the result. */
  readonly #lent: bigint[] = [];
  #collecting: boolean;
  #control: CallControl | undefined;
  #granted: ((grant: Grant) => void) | undefined;
  #refused: ((error: LaneError) => void) | undefined;
  #ended = false;
  /** The step of a chain that runs. */
  #member = 0;
  #done = 0;
  #turnBegan = 0;
  readonly #onEnd: () => void;

  constructor(lane: Lane, served: Served, begin: CallMessage, onEnd: () => void) {
    this.#lane = lane;
    this.#served = served;
    this.#begin = begin;
    this.#onEnd = onEnd;
    this.#collecting = begin.hasInput && !begin.end;
    if (begin.batch !== undefined) this.#batches.push(begin.batch);
    if (!this.#collecting) void this.#serve();
  }

  /** A frame of the engine within the call. Throws `LaneError` for one that has no place here. */
  receive(frame: Received): void {
    if (this.#collecting && frame.$case === "batch") {
      this.#batches.push(frame.value);
      return;
    }
    if (this.#collecting && frame.$case === "end") {
      this.#collecting = false;
      void this.#serve();
      return;
    }
    const granted = this.#granted;
    if (frame.$case !== "grant" || granted === undefined) {
      throw new LaneError(`a frame of the kind ${frame.$case} that is not due in a call`);
    }
    this.#granted = undefined;
    granted(frame.value);
  }

  /** The lane was closed: nobody wants the result. */
  hangUp(): void {
    this.#control?.cancel();
    this.#refused?.(new LaneError("the lane is closed"));
    if (this.#collecting) this.#onEnd();
  }

  log(level: LogLevel, message: string, fields: Readonly<Record<string, string>>): void {
    if (this.#ended) {
      const extra = Object.entries(fields).map(([name, value]) => ` ${name}=${value}`);
      process.stderr.write(`${level}: ${message}${extra.join("")}\n`);
      return;
    }
    const shortened = Object.entries(fields).map(([name, value]) => [name, short(value)]);
    this.#tell({
      $case: "log",
      value: { level, message: short(message), fields: Object.fromEntries(shortened) },
    });
  }

  progress(rowsDone: number, rowsTotal: number, message: string): void {
    const value = { rowsDone: count(rowsDone), rowsTotal: count(rowsTotal), message: short(message) };
    this.#tell({ $case: "progress", value });
  }

  metric(name: string, value: number, unit: string): void {
    this.#tell({ $case: "metric", value: { name: short(name), value, unit: short(unit) } });
  }

  #tell(kind: Sent): void {
    if (!this.#ended && !this.#lane.closed) this.#lane.send(kind, undefined, false, this.#member);
  }

  async #serve(): Promise<void> {
    let failure: Failure | undefined;
    try {
      const failed = await this.#run();
      if (failed !== undefined) failure = encodeFailure(failed);
    } catch (thrown) {
      this.#done = 0;
      failure = encodeFailure(thrown);
    }
    this.#ended = true;
    this.#lease.end();
    this.#onEnd();
    if (this.#lane.closed) return;
    try {
      this.#lane.send({ $case: "result", value: { failure, done: this.#done } }, this.#lent);
    } catch (error) {
      this.#lane.close(error as LaneError);
    }
  }

  /** Gives the failure of the step at which a chain ended, if it failed. */
  async #run(): Promise<unknown> {
    const { registry, calls, segments } = this.#served;
    const begin = this.#begin;
    if (begin.forgotten.length > 0) segments.forget(begin.forgotten);
    const input = begin.hasInput ? this.#input() : undefined;
    const isOneBatch = this.#batches.length === 1;
    this.#batches.length = 0;
    const [binding, release] = registry.use(begin.bindingId);
    const releases = [release];
    try {
      const followers = begin.followers.map(({ bindingId }) => {
        const [follower, end] = registry.use(bindingId);
        releases.push(end);
        return follower;
      });
      const control = calls.begin(begin.callId, this);
      this.#control = control;
      try {
        if (control.cancelled) throw cancelled();
        const output = new CallOutput(this.#lane, segments, begin.grant?.segment, (size) => this.#need(size));
        if (followers.length > 0) {
          return await this.#chain([binding, ...followers], control, input, isOneBatch, output);
        }
        await binding.step.call(this.#info(binding.base), control, input, (table, whole) => {
          if (whole) return output.send(table, true, isOneBatch ? input : undefined);
          return this.#sendPart(output, table);
        });
        for (const rejection of control.rejections) this.#reject(rejection);
      } finally {
        calls.end(begin.callId);
      }
    } finally {
      for (const end of releases) end();
    }
    return undefined;
  }

  /** Sends the table behind the last step that did what its link says. */
  async #chain(
    bindings: readonly Binding[],
    control: CallControl,
    input: Table | undefined,
    isOneBatch: boolean,
    output: CallOutput,
  ): Promise<unknown> {
    if (input === undefined) throw protocolError("a chain came without an input");
    let table = input;
    let failure: unknown;
    let done = 0;
    for (const [number, binding] of bindings.entries()) {
      this.#member = number;
      const { link } = binding;
      if (link === undefined) throw protocolError("a binding without a link stands in a chain");
      const taken = takenBy(link, table);
      if (taken === undefined) break;
      const returned: Table[] = [];
      try {
        await binding.step.call(this.#info(binding.base, number), control, taken, (part) => {
          returned.push(part);
        });
      } catch (thrown) {
        failure = thrown;
      }
      if (control.cancelled) throw failure ?? cancelled();
      const [only] = returned;
      if (failure !== undefined || only === undefined || returned.length > 1) break;
      const behind = control.rejections.length > 0 ? undefined : givenBy(link, table, taken, only);
      if (behind === undefined) break;
      table = behind;
      done = number + 1;
      if (table.numRows === 0) break;
    }
    if (done > 0) await output.send(table, true, isOneBatch ? input : undefined);
    this.#done = done;
    return failure;
  }

  async #sendPart(output: CallOutput, table: Table): Promise<void> {
    await output.send(table, false, undefined);
    const now = performance.now();
    if (this.#turnBegan === 0) this.#turnBegan = now;
    if (now - this.#turnBegan < TURN_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#turnBegan = performance.now();
  }

  /** `member` is the number of the step in a chain. */
  #info(base: string, member = 0): CallInfo {
    const { context, followers } = this.#begin;
    const follower = member > 0 ? followers[member - 1] : context;
    return {
      runId: context?.runId ?? "",
      workflow: context?.workflow ?? "",
      step: follower?.step ?? "",
      attempt: context?.attempt ?? 1,
      idempotencyKey: follower?.idempotencyKey,
      deadlineS: context?.deadlineS,
      base,
    };
  }

  #input(): Table {
    for (const { place } of this.#batches) {
      if (place?.$case === "slice" && place.value.segment !== undefined)
        this.#lent.push(place.value.segment.id);
    }
    const streams = this.#batches.map((batch) => this.#stream(batch));
    const [first] = streams;
    if (first === undefined) throw protocolError("a call with an input came without a batch");
    const chunks: Chunk[] = [];
    for (const stream of streams) {
      if (!sameSchema(stream.schema, first.schema)) {
        throw protocolError("the batches of an input have different schemas");
      }
      chunks.push(...stream.chunks);
    }
    return tableOf({ schema: first.schema, chunks, lease: this.#lease });
  }

  #stream({ place }: Batch): Stream {
    try {
      if (place?.$case === "inline") return readStream(place.value);
      if (place?.$case === "slice" && place.value.segment !== undefined) {
        return readStream(this.#served.segments.input(place.value));
      }
    } catch (error) {
      if (error instanceof StreamError || error instanceof SegmentError) throw protocolError(error.message);
      throw error;
    }
    throw protocolError("a batch of an input holds no rows");
  }

  async #need(sizeBytes: number): Promise<Segment | undefined> {
    const grant = await new Promise<Grant>((resolve, reject) => {
      this.#granted = resolve;
      this.#refused = reject;
      this.#lane.send({ $case: "need", value: { sizeBytes: BigInt(sizeBytes) } });
    });
    this.#refused = undefined;
    if (grant.segment !== undefined && Number(grant.segment.sizeBytes) < sizeBytes) {
      const error = new LaneError("a grant that is smaller than what was asked for");
      this.#lane.close(error);
      throw error;
    }
    return grant.segment;
  }

  #reject({ rows, reason, errorType }: { rows: readonly number[]; reason: string; errorType: string }): void {
    for (let start = 0; start < rows.length; start += REJECTION_ROWS_MAX) {
      const numbers = BigInt64Array.from(rows.slice(start, start + REJECTION_ROWS_MAX), BigInt);
      const value = {
        rows: new Uint8Array(numbers.buffer),
        reason: short(reason),
        errorType: short(errorType),
      };
      this.#lane.send({ $case: "rejection", value }, undefined, true);
    }
  }
}

function cancelled(): FailureError {
  return new FailureError("cancelled", new CancelledError().message, "CancelledError");
}

function short(text: string): string {
  return text.length > TEXT_CHARS_MAX ? text.slice(0, TEXT_CHARS_MAX) : text;
}

function count(value: number): bigint {
  return BigInt(Math.max(0, Math.floor(Number.isFinite(value) ? value : 0)));
}
