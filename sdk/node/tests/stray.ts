// A plugin whose steps leave things behind that go wrong outside of their calls.

import { Plugin } from "../src/index.js";

const plugin = new Plugin({ namespace: "stray" });

plugin.step("stray", {
  rows: "map",
  run(call) {
    setTimeout(() => {
      throw new Error("thrown in a timer");
    }, 1);
    void Promise.reject(new Error("rejected alone"));
    setTimeout(() => call.log.info("late", { rows: 1 }), 1);
    return call.input;
  },
});

await plugin.serve();
