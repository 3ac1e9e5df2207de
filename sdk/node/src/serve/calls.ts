// The calls under way, by id.

import { CallControl, type Listener } from "../call.js";
import { protocolError } from "../errors.js";

const EARLY_CANCELS_MAX = 1024;

export class Calls {
  readonly #active = new Map<bigint, CallControl>();
  /** Cancelled before their first frame came. */
  readonly #early = new Set<bigint>();
  #draining = false;
  #idle: (() => void)[] = [];

  get count(): number {
    return this.#active.size;
  }

  /** Throws `FailureError` when no call may begin any more. */
  begin(id: bigint, listener: Listener): CallControl {
    if (this.#draining) {
      throw protocolError("the plugin is ending, and takes no more calls", "Draining");
    }
    const control = new CallControl(listener);
    if (this.#early.delete(id)) control.cancel();
    this.#active.set(id, control);
    return control;
  }

  end(id: bigint): void {
    this.#active.delete(id);
    if (this.#active.size > 0) return;
    for (const wake of this.#idle) wake();
    this.#idle = [];
  }

  /** Also for a call whose first frame is still on its way. */
  cancel(id: bigint): void {
    const control = this.#active.get(id);
    if (control !== undefined) {
      control.cancel();
      return;
    }
    this.#early.add(id);
    if (this.#early.size > EARLY_CANCELS_MAX) this.#early.delete(this.#early.values().next().value as bigint);
  }

  cancelAll(): void {
    for (const control of this.#active.values()) control.cancel();
  }

  /** Lets no call begin, and waits until those under way have ended. */
  async drain(): Promise<void> {
    this.#draining = true;
    if (this.#active.size > 0) await new Promise<void>((wake) => this.#idle.push(wake));
  }
}
