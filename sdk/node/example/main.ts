import { plugin } from "./plugin.js";
import "./extract.js";
import "./lines.js";
import "./normalise.js";

await plugin.serve();
