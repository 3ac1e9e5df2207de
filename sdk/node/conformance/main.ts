// The plugin that the conformance cases of plugin SDKs run against, in Node.

import { plugin } from "./plugin.js";
import "./calls.js";
import "./counter.js";
import "./rows.js";
import "./settings.js";

await plugin.serve();
