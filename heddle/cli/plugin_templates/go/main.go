// Steps that Heddle programs import with `import "__NAME__"`.
package main

import (
	"fmt"
	"strings"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

var plugin = heddle.Plugin{
	Namespace: "__NAME__",
	Version:   "0.1.0",
	Doc:       "Counts words.",
	Offers: []heddle.Offer{
		heddle.Step[countConfig]{
			Name:          "count_words",
			Doc:           "The number of words of each text; a text with fewer than `least` is rejected.",
			Input:         heddle.RowOf[text](),
			Output:        heddle.RowOf[counted](),
			Rows:          heddle.Map,
			Passthrough:   true,
			Deterministic: heddle.Yes,
			Run:           countWords,
		},
	},
}

func main() { heddle.Serve(plugin) }

type text struct{ Text string }

type counted struct{ Words int64 }

type countConfig struct {
	Least int `default:"1" doc:"Texts with fewer words are rejected."`
}

func countWords(call *heddle.Call, config countConfig, input *heddle.Table) (*heddle.Table, error) {
	texts, err := heddle.Rows[text](input)
	if err != nil {
		return nil, err
	}
	result := make([]counted, len(texts))
	for row, text := range texts {
		words := len(strings.Fields(text.Text))
		result[row] = counted{int64(words)}
		if words < config.Least {
			call.RejectAs("TooShort", fmt.Sprintf("fewer than %d words", config.Least), row)
		}
	}
	return heddle.TableOf(result), nil
}
