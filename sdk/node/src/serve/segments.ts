// Shared memory: segments of the engine, mapped once each. A mapping goes away when the engine has said that the
// segment is gone and nothing refers to its memory any more.

import { closeSync, fstatSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import type { Segment, Slice } from "../wire/plugin.js";

/** A segment that cannot be mapped. */
export class SegmentError extends Error {
  override name = "SegmentError";
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const FAILED = 0xffffffffffffffffn;

interface Memory {
  map(
    address: null,
    size: number,
    protection: number,
    flags: number,
    descriptor: number,
    offset: number,
  ): bigint;
  unmap(address: bigint, size: number): number;
  view(address: bigint, size: number): ArrayBuffer;
}

let memory: Memory | undefined;

/** The C library's functions, loaded when the first segment is mapped: not every call needs one. */
function systemMemory(): Memory {
  if (memory === undefined) {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const library = koffi.load(null);
    memory = {
      map: library.func("void *mmap(void *, size_t, int, int, int, int64_t)") as unknown as Memory["map"],
      unmap: library.func("int munmap(void *, size_t)") as unknown as Memory["unmap"],
      view: koffi.view,
    };
  }
  return memory;
}

interface Range {
  readonly address: bigint;
  readonly size: number;
}

/** Typed arrays keep the `ArrayBuffer` over a mapping alive, so its end is the end of all that refer to it. */
const unmapping = new FinalizationRegistry<Range>(({ address, size }) => {
  systemMemory().unmap(address, size);
});

export class Segments {
  readonly #inputs = new Map<bigint, ArrayBuffer>();
  readonly #outputs = new Map<bigint, ArrayBuffer>();

  /** A slice of an input, to read; writing to it ends the process. Throws `SegmentError`. */
  input(slice: Slice): Uint8Array {
    const segment = slice.segment as Segment;
    const buffer = mapped(this.#inputs, segment, "r");
    const offset = Number(slice.offset);
    const length = Number(slice.length);
    if (!(offset >= 0 && length >= 0 && offset + length <= buffer.byteLength)) {
      throw new SegmentError(
        `bytes ${offset} to ${offset + length} of a segment of ${buffer.byteLength} bytes were named`,
      );
    }
    return new Uint8Array(buffer, offset, length);
  }

  /** A whole segment, to write. Throws `SegmentError`. */
  output(segment: Segment): Uint8Array {
    return new Uint8Array(mapped(this.#outputs, segment, "r+"));
  }

  forget(ids: readonly bigint[]): void {
    for (const id of ids) {
      this.#inputs.delete(id);
      this.#outputs.delete(id);
    }
  }
}

function mapped(known: Map<bigint, ArrayBuffer>, segment: Segment, mode: "r" | "r+"): ArrayBuffer {
  let buffer = known.get(segment.id);
  if (buffer === undefined) {
    buffer = mapFile(segment.path, Number(segment.sizeBytes), mode);
    known.set(segment.id, buffer);
  }
  return buffer;
}

/** Throws `SegmentError`. */
export function mapFile(path: string, size: number, mode: "r" | "r+"): ArrayBuffer {
  let descriptor: number;
  try {
    descriptor = openSync(path, mode);
  } catch (error) {
    throw new SegmentError(`a shared-memory segment cannot be opened (${(error as Error).message})`);
  }
  try {
    // What lies behind the end of the file cannot be read, and the attempt would end the process.
    if (fstatSync(descriptor).size < size) {
      throw new SegmentError(`a shared-memory segment is smaller than the ${size} bytes that were named`);
    }
    const system = systemMemory();
    const protection = mode === "r" ? PROT_READ : PROT_READ | PROT_WRITE;
    const address = system.map(null, size, protection, MAP_SHARED, descriptor, 0);
    if (address === FAILED)
      throw new SegmentError(`a shared-memory segment of ${size} bytes cannot be mapped`);
    const buffer = system.view(address, size);
    unmapping.register(buffer, { address, size });
    return buffer;
  } finally {
    closeSync(descriptor);
  }
}
