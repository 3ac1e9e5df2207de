import { c, optional, row, t } from "@heddle/sdk";
import { blocklist } from "./blocklist.js";
import { plugin } from "./plugin.js";

const SCHEMES = new Set(["http:", "https:"]);
const TRACKING = /^(utm_|fbclid$|gclid$)/;

plugin.step("normalise", {
  doc: "Puts links into one form, with their hosts beside them; what is no link to a page is rejected.",
  input: row({ url: t.string }),
  output: row({ url: t.string, host: t.string }),
  rows: "map",
  passthrough: true,
  deterministic: true,
  config: {
    fragments: c.choice(["keep", "drop"], { default: "drop", doc: "What becomes of `#…` at the end." }),
  },
  resources: { blocklist: optional(blocklist) },
  run(call) {
    const { fragments } = call.config;
    const blocked = call.resources.blocklist;
    const hosts: string[] = [];
    const urls = call.input.values("url").map((text, row) => {
      const url = URL.canParse(text) ? new URL(text) : undefined;
      hosts.push(url?.hostname ?? "");
      if (url === undefined || !SCHEMES.has(url.protocol)) {
        call.reject(row, "not a link to a page", "NotAPage");
        return text;
      }
      if (blocked?.has(url.hostname)) call.reject(row, "its host is on the blocklist", "Blocked");
      return normalised(url, fragments === "keep");
    });
    call.metric("links", urls.length, "rows");
    return { url: urls, host: hosts };
  },
});

function normalised(url: URL, keepFragment: boolean): string {
  for (const name of [...url.searchParams.keys()]) if (TRACKING.test(name)) url.searchParams.delete(name);
  url.searchParams.sort();
  if (!keepFragment) url.hash = "";
  return url.href;
}
