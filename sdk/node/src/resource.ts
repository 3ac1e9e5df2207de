// Resources: connections and other things that steps share. The engine opens one with its settings, and closes
// it when no step needs it any more.

import type { ConfigOf, OpenSettings, Settings } from "./config.js";

export interface ResourceOptions<T, C extends Settings | OpenSettings> {
  readonly doc?: string;
  readonly config?: C;
  /** What it throws is why the resource could not be opened. */
  open(config: ConfigOf<C>): T | Promise<T>;
  /** What is wrong with it; nothing when it can do its work. What it throws is wrong too. */
  health?(resource: T): string | undefined | Promise<string | undefined>;
  close?(resource: T): void | Promise<void>;
}

/** A kind of resource that a plugin offers. It stands in the `resources` of steps. */
export class ResourceType<T = unknown> {
  /** Types only: there is no value. */
  declare readonly opened: T;
  readonly name: string;
  readonly options: ResourceOptions<T, OpenSettings>;

  /** @internal */
  constructor(name: string, options: ResourceOptions<T, OpenSettings>) {
    this.name = name;
    this.options = options;
  }

  get config(): Settings | OpenSettings {
    return this.options.config ?? {};
  }
}

/** A slot that may stay empty. */
export class OptionalSlot<T = unknown> {
  readonly type: ResourceType<T>;

  /** @internal */
  constructor(type: ResourceType<T>) {
    this.type = type;
  }
}

/** A slot for a resource that may stay empty: `resources: { cache: optional(cache) }`. */
export function optional<T>(type: ResourceType<T>): OptionalSlot<T> {
  return new OptionalSlot(type);
}

/** A step's slots by name. */
export type Slots = { readonly [name: string]: ResourceType<unknown> | OptionalSlot<unknown> };

export type ResourcesOf<R> = {
  readonly [K in keyof R]: R[K] extends ResourceType<infer T>
    ? T
    : R[K] extends OptionalSlot<infer T>
      ? T | undefined
      : never;
};
