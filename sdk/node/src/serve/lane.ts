// A lane: a connection that carries length-prefixed frames, one call at a time.

import type { Socket } from "node:net";
import { EngineFrame, PluginFrame } from "../wire/plugin.js";
import type { Limits } from "./limits.js";

/** The engine closed the lane, or sent what is no frame. */
export class LaneError extends Error {
  override name = "LaneError";
}

export type Sent = NonNullable<PluginFrame["kind"]>;
export type Received = NonNullable<EngineFrame["kind"]>;

const PREFIX_BYTES = 4;
const HELD_BYTES_MAX = 128 << 10;
const NONE: bigint[] = [];

export class Lane {
  /** Takes each frame as it comes. What it throws ends the lane. */
  onFrame: (frame: Received) => void = () => {};
  /** Told once, when the lane can no longer be used; with a reason unless the engine closed it. */
  onClosed: (problem: LaneError | undefined) => void = () => {};
  readonly limits: Limits;
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #available = 0;
  #wanted = PREFIX_BYTES;
  #inBody = false;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #closed = false;

  constructor(socket: Socket, limits: Limits) {
    this.limits = limits;
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.close(this.#endProblem()));
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * With `hold` it may wait for the next frame, to save a system call. `member` is the step of a chain that
   * tells it. Throws `LaneError`.
   */
  send(kind: Sent, released: bigint[] = NONE, hold = false, member = 0): void {
    if (this.#closed) throw new LaneError("the lane is closed");
    const body = PluginFrame.encode({ kind, released, member }).finish();
    if (body.byteLength > this.limits.frameBytesMax) {
      throw new LaneError(`a frame of ${body.byteLength} bytes; ${this.limits.frameBytesMax} are allowed`);
    }
    const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
    prefix.writeUInt32LE(body.byteLength);
    this.#held.push(prefix, body);
    this.#heldBytes += PREFIX_BYTES + body.byteLength;
    if (!hold || this.#heldBytes > HELD_BYTES_MAX) this.#flush();
  }

  /** Waits until the engine has taken most of what was sent. Throws `LaneError`. */
  async drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off("drain", done).off("close", done);
        resolve();
      };
      this.#socket.on("drain", done).on("close", done);
    });
    if (this.#closed) throw new LaneError("the lane is closed");
  }

  close(problem?: LaneError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#chunks = [];
    this.#held = [];
    this.#socket.destroy();
    this.onClosed(problem);
  }

  #flush(): void {
    const held = this.#held;
    this.#held = [];
    if (this.#heldBytes <= HELD_BYTES_MAX) this.#socket.write(Buffer.concat(held, this.#heldBytes));
    else {
      this.#socket.cork();
      for (const part of held) this.#socket.write(part);
      this.#socket.uncork();
    }
    this.#heldBytes = 0;
  }

  #endProblem(): LaneError | undefined {
    const inFrame = this.#available > 0 || this.#inBody;
    return inFrame ? new LaneError("the lane was closed inside a frame") : undefined;
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#available += chunk.byteLength;
    try {
      while (!this.#closed && this.#available >= this.#wanted) this.#next();
    } catch (error) {
      this.close(error instanceof LaneError ? error : new LaneError((error as Error).message));
    }
  }

  #next(): void {
    const bytes = this.#take(this.#wanted);
    if (!this.#inBody) {
      const length = bytes.readUInt32LE(0);
      if (length > this.limits.frameBytesMax) {
        throw new LaneError(
          `a frame of ${length} bytes was announced; ${this.limits.frameBytesMax} are allowed`,
        );
      }
      this.#wanted = length;
      this.#inBody = true;
      return;
    }
    this.#wanted = PREFIX_BYTES;
    this.#inBody = false;
    const frame = decoded(bytes);
    if (frame.kind === undefined) throw new LaneError("a frame of a kind that is not known here");
    this.onFrame(frame.kind);
  }

  #take(count: number): Buffer {
    const first = this.#chunks[0];
    this.#available -= count;
    if (first !== undefined && first.byteLength >= count) {
      if (first.byteLength === count) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = whole.byteLength > count ? [whole.subarray(count)] : [];
    return whole.subarray(0, count);
  }
}

function decoded(bytes: Uint8Array): EngineFrame {
  try {
    return EngineFrame.decode(bytes);
  } catch {
    throw new LaneError("a frame is not what the protocol says");
  }
}
