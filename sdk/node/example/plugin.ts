// An example plugin: links in texts are found, put into one form, held against a list of hosts, and written.
//
// ```heddle
// import "links"
//
// resource hosts = links.blocklist { hosts: ["bad.example"] }
//
// workflow Links {
//   links.read_lines { path: "page.md" }
//     | links.extract
//     | links.normalise <blocklist=hosts> ? Refused
//     | links.write_lines { path: "links.txt" }
// }
//
// handler Refused {
//   *
//     | io.print
// }
// ```

import { Plugin } from "@heddle/sdk";

export const plugin = new Plugin({
  namespace: "links",
  version: "0.1.0",
  doc: "Links in texts: found, put into one form, checked, written.",
});
