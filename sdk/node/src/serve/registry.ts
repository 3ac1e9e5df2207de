// What the engine has opened and bound in this process: resources with leases, and bindings of steps.
//
// A resource that nothing used for its lease is closed; what is bound to it then fails with the kind `expired`,
// and the engine opens and binds anew.

import { type BoundStep, bindStep, findStep } from "../bound_step.js";
import { checkConfig, parseConfig } from "../config_check.js";
import { FailureError, failureOf, protocolError, suggestion } from "../errors.js";
import type { Plugin } from "../plugin.js";
import type { ResourceType } from "../resource.js";
import type { Link } from "./chain.js";

interface Opened {
  readonly type: ResourceType<never>;
  /** The program's name for it. */
  readonly name: string;
  readonly value: never;
  readonly leaseS: number;
  /** The calls that use it now. */
  users: number;
  closed: boolean;
  timer: NodeJS.Timeout | undefined;
}

export interface Binding {
  readonly step: BoundStep;
  readonly resources: readonly Opened[];
  readonly base: string;
  /** How it stands in a chain. */
  readonly link: Link | undefined;
}

/** Every method throws `FailureError`. */
export class Registry {
  readonly #plugin: Plugin;
  readonly #resources = new Map<bigint, Opened>();
  readonly #bindings = new Map<bigint, Binding>();
  #lastId = 0n;

  constructor(plugin: Plugin) {
    this.#plugin = plugin;
  }

  async open(typeName: string, name: string, configText: string, leaseS: number): Promise<bigint> {
    const type = this.#plugin.resources.get(typeName);
    if (type === undefined) {
      const cure = suggestion(typeName, [...this.#plugin.resources.keys()]);
      throw protocolError(
        `the plugin \`${this.#plugin.namespace}\` has no resource \`${typeName}\`; ${cure}`,
        "NotFound",
      );
    }
    const where = `resource \`${typeName}\``;
    const config = checkConfig(parseConfig(configText, where), type.config, where);
    let value: never;
    try {
      value = (await type.options.open(config as never)) as never;
    } catch (thrown) {
      throw failureOf(thrown);
    }
    const opened = { type, name: name || typeName, value, leaseS, users: 0, closed: false, timer: undefined };
    const id = ++this.#lastId;
    this.#resources.set(id, opened);
    this.#startLease(opened);
    return id;
  }

  /** What is wrong with a resource, or nothing; renews its lease. */
  async check(id: bigint): Promise<string> {
    const opened = this.#resource(id);
    const end = this.#use([opened]);
    try {
      return await healthOf(opened);
    } finally {
      end();
    }
  }

  async close(id: bigint): Promise<void> {
    const opened = this.#resource(id);
    this.#resources.delete(id);
    if (!opened.closed) await closeResource(opened);
  }

  bind(
    name: string,
    configText: string,
    resources: Readonly<Record<string, bigint>>,
    base: string,
    link: Link | undefined,
  ): bigint {
    const opened = Object.entries(resources).map(([slot, id]) => [slot, this.#resource(id)] as const);
    const used = opened.map(([, resource]) => resource);
    const end = this.#use(used);
    try {
      const step = findStep(this.#plugin, name);
      const config = parseConfig(configText, `step \`${name}\``);
      const values = Object.fromEntries(opened.map(([slot, resource]) => [slot, resource.value]));
      const id = ++this.#lastId;
      const bound = bindStep(this.#plugin, step, config, values);
      this.#bindings.set(id, { step: bound, resources: used, base, link });
      return id;
    } finally {
      end();
    }
  }

  /** Forgets a binding; calls under way go on. */
  release(id: bigint): void {
    this.#bindings.delete(id);
  }

  /** A binding for one call, and what to call at its end. The leases of its resources are renewed. */
  use(id: bigint): [Binding, () => void] {
    const binding = this.#bindings.get(id);
    if (binding === undefined) throw protocolError(`there is no binding ${id} in this process`, "NotFound");
    return [binding, this.#use(binding.resources)];
  }

  /** What is wrong with the open resources. */
  async problems(): Promise<string[]> {
    const problems: string[] = [];
    for (const opened of [...this.#resources.values()]) {
      if (opened.closed) continue;
      const problem = await healthOf(opened).catch(problemText);
      if (problem !== "") problems.push(`the resource \`${opened.name}\` (${opened.type.name}): ${problem}`);
    }
    return problems;
  }

  /** Closes all resources, the last opened first; gives what that threw. */
  async closeAll(): Promise<string[]> {
    const opened = [...this.#resources.values()].reverse();
    this.#resources.clear();
    const problems: string[] = [];
    for (const resource of opened) {
      if (resource.closed) continue;
      await closeResource(resource).catch((thrown) => problems.push(closingText(resource, thrown)));
    }
    return problems;
  }

  #resource(id: bigint): Opened {
    const opened = this.#resources.get(id);
    if (opened === undefined) throw protocolError(`there is no resource ${id} in this process`, "NotFound");
    return opened;
  }

  #use(resources: readonly Opened[]): () => void {
    const expired = resources.find((resource) => resource.closed);
    if (expired !== undefined) {
      const reason = `because nothing used it for ${expired.leaseS} s`;
      const message = `the resource \`${expired.name}\` was closed, ${reason}`;
      throw new FailureError("expired", message, "LeaseExpired");
    }
    for (const resource of resources) {
      resource.users++;
      clearTimeout(resource.timer);
    }
    return () => {
      for (const resource of resources) if (--resource.users === 0) this.#startLease(resource);
    };
  }

  #startLease(opened: Opened): void {
    if (!(opened.leaseS > 0) || opened.closed) return;
    opened.timer = setTimeout(() => {
      closeResource(opened).catch((thrown) => {
        process.stderr.write(`heddle: ${closingText(opened, thrown)}\n`);
      });
    }, opened.leaseS * 1000);
    opened.timer.unref();
  }
}

async function healthOf(opened: Opened): Promise<string> {
  try {
    return (await opened.type.options.health?.(opened.value)) ?? "";
  } catch (thrown) {
    throw failureOf(thrown);
  }
}

async function closeResource(opened: Opened): Promise<void> {
  opened.closed = true;
  clearTimeout(opened.timer);
  try {
    await opened.type.options.close?.(opened.value);
  } catch (thrown) {
    throw failureOf(thrown);
  }
}

function closingText(opened: Opened, thrown: unknown): string {
  return `closing the resource \`${opened.name}\` (${opened.type.name}): ${problemText(thrown)}`;
}

function problemText(thrown: unknown): string {
  const failure = failureOf(thrown);
  return `${failure.errorType}: ${failure.message}`;
}
