// Memory that belongs to the engine and is lent to a step until its call ends.

import type * as arrow from "apache-arrow";

/** Something of a step's input was read after the step had ended. */
export class InputEndedError extends Error {
  override name = "InputEndedError";

  constructor() {
    super(
      "rows of a step's input were read after the step had ended, when their memory was given back; " +
        "what is to live longer must be copied while the step runs: `table.copy()`",
    );
  }
}

function refuse(): never {
  throw new InputEndedError();
}

const BUFFERS = ["values", "valueOffsets", "nullBitmap", "typeIds", "variadicBuffers"] as const;
const REFUSED = Object.fromEntries(BUFFERS.map((name) => [name, { get: refuse }]));

/** What a call's input was given to user code as. Once it is ended, reading any of it throws. */
export class Lease {
  #ended = false;
  readonly #given: arrow.Data[] = [];

  /** Throws `InputEndedError`. */
  check(): void {
    if (this.#ended) refuse();
  }

  give(data: arrow.Data): void {
    this.check();
    this.#given.push(data);
  }

  end(): void {
    this.#ended = true;
    for (const data of this.#given) Object.defineProperties(data, REFUSED);
    this.#given.length = 0;
  }
}
