// Command conformance is the plugin that the conformance cases of plugin SDKs run against, in Go.
package main

import (
	"os"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

var plugin = heddle.Plugin{
	Namespace:   "conformance",
	Version:     "1.2.3",
	Doc:         "What every SDK must do.",
	Environment: []string{"CONFORMANCE_REGION"},
	Offers: []heddle.Offer{
		heddle.Resource[counterConfig, *counter]{Name: "counter", Open: openCounter},

		heddle.Step[heddle.NoConfig]{
			Name: "identity", Rows: heddle.Map, Deterministic: heddle.Yes, Run: identity[heddle.NoConfig],
		},
		heddle.Step[heddle.NoConfig]{
			Name: "rebuild", Rows: heddle.Map, Deterministic: heddle.Yes, Run: rebuild,
		},
		heddle.Step[addConfig]{
			Name: "add", Rows: heddle.Map, Passthrough: true, Deterministic: heddle.Yes,
			Input: heddle.RowOf[x]().AndOthers(), Output: heddle.RowOf[xy]().AndOthers(), Run: add,
		},
		heddle.Step[heddle.NoConfig]{
			Name: "reject_negative", Rows: heddle.Map, Passthrough: true, Deterministic: heddle.Yes,
			Input: heddle.RowOf[x]().AndOthers(), Output: heddle.RowOf[x]().AndOthers(), Run: rejectNegative,
		},
		heddle.Step[heddle.NoConfig]{
			Name: "keep_even", Rows: heddle.Filter, Passthrough: true, Deterministic: heddle.Yes,
			Input: heddle.RowOf[x]().AndOthers(), Output: heddle.RowOf[x]().AndOthers(), Run: keepEven,
		},
		heddle.Step[repeatConfig]{
			Name: "repeat", Rows: heddle.Flat, Passthrough: true, Deterministic: heddle.Yes,
			Input: heddle.RowOf[x]().AndOthers(), Output: heddle.RowOf[x]().AndOthers(), Run: repeat,
		},
		heddle.Step[heddle.NoConfig]{
			Name: "total", Deterministic: heddle.Yes, Input: heddle.RowOf[x](), Output: heddle.RowOf[totalRow](),
			Run: total,
		},
		heddle.Source[numbersConfig]{
			Name: "numbers", Deterministic: heddle.Yes, Output: heddle.RowOf[numberRow](), Run: numbers,
		},
		heddle.Sink[heddle.NoConfig]{
			Name: "sink", Effect: heddle.Yes, Slots: []heddle.Slot{{Name: "counter"}}, Run: sink,
		},
		heddle.Source[heddle.NoConfig]{
			Name: "count", Output: heddle.RowOf[countRow](), Slots: []heddle.Slot{{Name: "counter"}}, Run: count,
		},
		heddle.Source[settings]{
			Name: "settings", Deterministic: heddle.Yes, Output: heddle.RowOf[jsonRow](), Run: showSettings,
		},
		heddle.Step[failConfig]{Name: "fail", Run: fail},
		heddle.Step[heddle.NoConfig]{Name: "crash", Run: crash},
		heddle.Step[sleepConfig]{Name: "sleep", Rows: heddle.Map, Deterministic: heddle.Yes, Run: sleep},
		heddle.Step[heddle.NoConfig]{Name: "hang", Rows: heddle.Map, Run: hang},
		heddle.Step[logConfig]{Name: "log", Rows: heddle.Map, Run: log},
		heddle.Source[heddle.NoConfig]{Name: "context", Output: heddle.RowOf[contextRow](), Run: showContext},
		heddle.Source[schemaConfig]{Name: "schema_of", Infer: inferSchema, Run: schemaOf},
		heddle.Step[growConfig]{Name: "grow", Run: grow},
		heddle.Source[environmentConfig]{
			Name: "environment", Output: heddle.RowOf[valueRow](), Run: environment,
		},
		heddle.Step[heddle.NoConfig]{Name: "declared"},
	},
}

func main() { heddle.Serve(plugin) }

func crash(*heddle.Call, heddle.NoConfig, *heddle.Table) (*heddle.Table, error) {
	os.Exit(3)
	return nil, nil
}
