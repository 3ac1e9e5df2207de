// What the engine said in its handshake.

export const FRAME_BYTES_MAX = 16 << 20;
export const INLINE_BYTES_MAX = 64 << 10;
/** What a frame may hold beside a payload. */
export const FRAME_SLACK_BYTES = 64 << 10;

export class Limits {
  /** A payload of at most so many bytes goes inline. */
  inlineBytesMax = INLINE_BYTES_MAX;
  frameBytesMax = FRAME_BYTES_MAX;

  /** 0 stands for a limit that was not said. Throws a `RangeError` for frames that hold nothing. */
  set(inlineBytesMax: number, frameBytesMax: number): void {
    if (frameBytesMax > 0 && frameBytesMax < 2 * FRAME_SLACK_BYTES) {
      throw new RangeError(
        `frame_bytes_max is ${frameBytesMax}; at least ${2 * FRAME_SLACK_BYTES} is needed`,
      );
    }
    this.frameBytesMax = frameBytesMax || FRAME_BYTES_MAX;
    this.inlineBytesMax = Math.min(inlineBytesMax || INLINE_BYTES_MAX, this.payloadBytesMax);
  }

  /** The largest payload that a frame can hold. */
  get payloadBytesMax(): number {
    return this.frameBytesMax - FRAME_SLACK_BYTES;
  }
}
