// Hosts that nobody should follow a link to.

import { readFile } from "node:fs/promises";
import { c, StepError } from "@heddle/sdk";
import { plugin } from "./plugin.js";

/** A list that does not change, so calls may share it as it is. */
export class Blocklist {
  readonly #hosts: ReadonlySet<string>;

  constructor(lines: readonly string[]) {
    const hosts = lines.map((line) => line.replace(/#.*/, "").trim().toLowerCase());
    this.#hosts = new Set(hosts.filter((host) => host !== ""));
  }

  get size(): number {
    return this.#hosts.size;
  }

  /** Also the hosts below one that is listed. */
  has(host: string): boolean {
    const labels = host.toLowerCase().split(".");
    return labels.some((_, i) => this.#hosts.has(labels.slice(i).join(".")));
  }
}

export const blocklist = plugin.resource("blocklist", {
  doc: "Hosts that are named in the program, in a file, or in both.",
  config: {
    hosts: c.list(c.string(), { default: [] }),
    path: c.string({
      nullable: true,
      default: null,
      doc: "An absolute path of a file with a host on each line; what follows a # is a comment.",
    }),
  },
  async open({ hosts, path }) {
    const listed = path === null ? [] : (await read(path)).split("\n");
    return new Blocklist([...hosts, ...listed]);
  },
  health: ({ size }) => (size === 0 ? "the blocklist is empty" : undefined),
});

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new StepError(`the blocklist cannot be read: ${(error as Error).message}`, {
      errorType: "BlocklistMissing",
      cause: error,
    });
  }
}
