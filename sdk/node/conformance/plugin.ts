// What every SDK must do (tests/conformance/README.md), with the Node SDK.

import { Plugin } from "@heddle/sdk";

export const plugin = new Plugin({
  namespace: "conformance",
  version: "1.2.3",
  doc: "What every SDK must do.",
  environment: ["CONFORMANCE_REGION"],
});
