import { readFileSync } from "node:fs";

const manifest: { version: string } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
);

/** How this SDK calls itself. */
export const SDK = `heddle-node ${manifest.version}`;
