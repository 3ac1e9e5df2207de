import { row, t } from "@heddle/sdk";
import { plugin } from "./plugin.js";

const LINK = /\bhttps?:\/\/[^\s<>()"'`]+[^\s<>()"'`.,;:!?]/g;

plugin.step("extract", {
  doc: "A row for each link in each text; texts without one give none.",
  input: row({ text: t.string }),
  output: row({ text: t.string, url: t.string }),
  rows: "flat",
  passthrough: true,
  deterministic: true,
  run(call) {
    const rows: number[] = [];
    const urls: string[] = [];
    call.input.values("text").forEach((text, row) => {
      for (const [url] of text.matchAll(LINK)) {
        rows.push(row);
        urls.push(url);
      }
    });
    call.log.info("links were found", { texts: call.rowCount, links: urls.length });
    return call.input.take(rows).with("url", urls, t.string);
  },
});
