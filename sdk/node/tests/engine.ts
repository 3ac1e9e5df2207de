// The engine's end of the protocol, as far as tests need it: a plugin's process, its control channel, lanes, and
// segments, which are files in /dev/shm here.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Client, credentials, makeClientConstructor } from "@grpc/grpc-js";
import { readStream, type Stream } from "../src/arrow/reader.js";
import { encodeStream } from "../src/arrow/writer.js";
import { mapFile } from "../src/serve/segments.js";
import { partsOf, type Table } from "../src/table.js";
import * as wire from "../src/wire/plugin.js";

const CONFORMANCE = new URL("../conformance/main.js", import.meta.url);
const PATIENCE_MS = 20_000;
const FRAME_BYTES_MAX = 16 << 20;
export const INLINE_BYTES_MAX = 64 << 10;

const ControlClient = makeClientConstructor(wire.PluginControlService, "PluginControl");

export class PluginProcess implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly folder: string;
  readonly stderr: string[] = [];
  readonly stdout: string[] = [];
  readonly ended: Promise<number | null>;
  #control: Client | undefined;
  #shared: string[] = [];
  #lastId = 0n;

  private constructor(main: URL) {
    this.folder = mkdtempSync(join(tmpdir(), "heddle-node-"));
    const env = { PATH: process.env.PATH, HEDDLE_PLUGIN_FOLDER: this.folder };
    this.process = spawn(process.execPath, [fileURLToPath(main)], { env, stdio: "pipe" });
    this.ended = new Promise((resolve) => this.process.once("exit", (code) => resolve(code)));
    createInterface({ input: this.process.stderr as never }).on("line", (line) => this.stderr.push(line));
  }

  static async start(main = CONFORMANCE): Promise<PluginProcess> {
    const plugin = new PluginProcess(main);
    const lines = createInterface({ input: plugin.process.stdout as never });
    const ready = new Promise<void>((resolve) => {
      lines.on("line", (line) => {
        plugin.stdout.push(line);
        if (line === "heddle-plugin 1") resolve();
      });
    });
    await within(ready, "the plugin to be ready");
    const hello = await plugin.ask("handshake", {
      protocolMin: 1,
      protocolMax: 3,
      engineVersion: "0",
      inlineBytesMax: INLINE_BYTES_MAX,
      frameBytesMax: FRAME_BYTES_MAX,
    });
    assert.equal((hello as wire.HandshakeResponse).protocol, 1);
    return plugin;
  }

  /** A call on the control channel. */
  ask<Answer>(method: string, request: object): Promise<Answer> {
    this.#control ??= new ControlClient(`unix:${this.folder}/control.sock`, credentials.createInsecure());
    const client = this.#control as unknown as Record<string, (request: object, done: unknown) => void>;
    return within(
      new Promise<Answer>((resolve, reject) => {
        client[method]?.call(client, request, (error: Error | null, answer: Answer) => {
          if (error === null) resolve(answer);
          else reject(error);
        });
      }),
      `an answer to ${method}`,
    );
  }

  async bind(step: string, config: object = {}, resources: Record<string, bigint> = {}): Promise<bigint> {
    const request = { step, configJson: JSON.stringify(config), resources, base: "/" };
    const answer = await this.ask<wire.BindStepResponse>("bindStep", request);
    assert.equal(answer.failure, undefined);
    return answer.bindingId;
  }

  async lane(): Promise<EngineLane> {
    const socket = connect(`${this.folder}/lanes.sock`);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new EngineLane(socket);
  }

  /** A new segment, with the engine's own view of it. */
  segment(sizeBytes: number): { segment: wire.Segment; memory: Uint8Array } {
    const path = `/dev/shm/heddle-node-test-${process.pid}-${this.#shared.length}`;
    const descriptor = openSync(path, "w+");
    ftruncateSync(descriptor, sizeBytes);
    closeSync(descriptor);
    this.#shared.push(path);
    const segment = { id: ++this.#lastId, path, sizeBytes: BigInt(sizeBytes) };
    return { segment, memory: new Uint8Array(mapFile(path, sizeBytes, "r+")) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#control?.close();
    this.process.stdin?.end();
    const code = await within(this.ended, "the plugin to end").catch(() => undefined);
    if (code === undefined) this.process.kill("SIGKILL");
    for (const path of this.#shared) rmSync(path, { force: true });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a call gave. */
export interface Answer {
  readonly frames: wire.PluginFrame[];
  readonly batches: wire.Batch[];
  readonly failure: wire.Failure | undefined;
  readonly released: bigint[];
}

export class EngineLane {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #frames: wire.PluginFrame[] = [];
  #wake: (() => void) | undefined;
  #calls = 0n;
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#wake?.();
    });
  }

  send(kind: NonNullable<wire.EngineFrame["kind"]>): void {
    const body = wire.EngineFrame.encode({ kind }).finish();
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(body.byteLength);
    this.socket.write(Buffer.concat([prefix, body]));
  }

  /** The next frame; undefined when the plugin has closed the lane. */
  async receive(): Promise<wire.PluginFrame | undefined> {
    while (this.#frames.length === 0 && !this.closed) {
      await within(new Promise<void>((resolve) => (this.#wake = resolve)), "a frame");
    }
    return this.#frames.shift();
  }

  /** A call with what `call` says; grants are given as `grant` says. */
  async call(
    bindingId: bigint,
    call: Partial<wire.Call> = {},
    grant: (sizeBytes: number) => wire.Segment | undefined = () => undefined,
  ): Promise<Answer> {
    this.begin(bindingId, call);
    return this.answer(grant);
  }

  begin(bindingId: bigint, call: Partial<wire.Call> = {}): bigint {
    const callId = ++this.#calls;
    const context = {
      runId: "r",
      workflow: "W",
      step: "s",
      attempt: 1,
      idempotencyKey: undefined,
      deadlineS: undefined,
    };
    const value: wire.Call = {
      callId,
      bindingId,
      context,
      hasInput: call.batch !== undefined,
      batch: undefined,
      end: true,
      grant: undefined,
      forgotten: [],
      followers: [],
      ...call,
    };
    this.send({ $case: "call", value });
    return callId;
  }

  async answer(grant: (sizeBytes: number) => wire.Segment | undefined = () => undefined): Promise<Answer> {
    const frames: wire.PluginFrame[] = [];
    for (;;) {
      const frame = await this.receive();
      if (frame === undefined) throw new Error("the plugin closed the lane in mid-call");
      frames.push(frame);
      const { kind } = frame;
      if (kind?.$case === "need") {
        this.send({ $case: "grant", value: { segment: grant(Number(kind.value.sizeBytes)) } });
      }
      if (kind?.$case === "result") {
        return {
          frames,
          batches: frames.flatMap((f) => (f.kind?.$case === "batch" ? [f.kind.value] : [])),
          failure: kind.value.failure,
          released: frames.flatMap((f) => f.released),
        };
      }
    }
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.byteLength >= 4) {
      const end = 4 + this.#buffer.readUInt32LE(0);
      if (this.#buffer.byteLength < end) break;
      this.#frames.push(wire.PluginFrame.decode(this.#buffer.subarray(4, end)));
      this.#buffer = this.#buffer.subarray(end);
    }
    this.#wake?.();
  }
}

export function streamBytes(table: Table): Uint8Array {
  const { schema, chunks } = partsOf(table);
  return encodeStream(schema, chunks).toBytes();
}

export function inline(table: Table): wire.Batch {
  return { place: { $case: "inline", value: streamBytes(table) }, columns: [] };
}

export function sliced(segment: wire.Segment, length: number, offset = 0): wire.Batch {
  const slice = { segment, offset: BigInt(offset), length: BigInt(length) };
  return { place: { $case: "slice", value: slice }, columns: [] };
}

/** The rows of a batch; `memory` is that of the segment that was granted. */
export function decoded(batch: wire.Batch | undefined, memory?: Uint8Array): Stream {
  if (batch?.place?.$case === "inline") return readStream(batch.place.value);
  assert(batch?.place?.$case === "slice" && memory !== undefined, "a batch in a segment");
  return readStream(memory.subarray(0, Number(batch.place.value.length)));
}

export function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${PATIENCE_MS} ms for ${what}`)), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits for a condition outside of this process. */
export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
