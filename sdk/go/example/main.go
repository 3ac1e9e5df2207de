// Command example is a plugin that cleans e-mail addresses: it shows a resource, a map step with rejections, a
// filter, a source and their tests.
package main

import heddle "github.com/heddle-lang/heddle/sdk/go"

var plugin = heddle.Plugin{
	Namespace: "contacts",
	Version:   "0.1.0",
	Doc:       "Cleans lists of contacts.",
	Offers: []heddle.Offer{
		heddle.Resource[blocklistConfig, *blocklist]{
			Name: "blocklist",
			Doc:  "Domains that are refused, one a line in a file.",
			Open: openBlocklist,
		},
		heddle.Step[cleanConfig]{
			Name:        "clean",
			Doc:         "Writes addresses alike and adds their domain; what is no address is rejected.",
			Input:       heddle.RowOf[contact]().AndOthers(),
			Output:      heddle.RowOf[cleaned]().AndOthers(),
			Rows:        heddle.Map,
			Passthrough: true, Deterministic: heddle.Yes,
			Slots: []heddle.Slot{{Name: "blocklist", Optional: true}},
			Run:   clean,
		},
		heddle.Step[heddle.NoConfig]{
			Name:        "unique",
			Doc:         "Keeps the first row of each address.",
			Input:       heddle.RowOf[contact]().AndOthers(),
			Output:      heddle.RowOf[contact]().AndOthers(),
			Passthrough: true, Deterministic: heddle.Yes,
			Run: unique,
		},
		heddle.Source[sampleConfig]{
			Name:          "sample",
			Doc:           "Made-up contacts to try things with.",
			Output:        heddle.RowOf[contact](),
			Deterministic: heddle.Yes,
			Run:           sample,
		},
	},
}

func main() { heddle.Serve(plugin) }
