package main

import (
	"reflect"
	"strings"
	"testing"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

func TestWordsAreCounted(t *testing.T) {
	outcome, err := heddle.Try(plugin, "count_words", heddle.Trial{
		Input: heddle.TableOf([]text{{" to be  or not"}, {"stop"}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := heddle.Rows[counted](outcome.Table)
	if err != nil || !reflect.DeepEqual(rows, []counted{{4}, {1}}) {
		t.Errorf("%v %v", rows, err)
	}
}

func TestShortTextsAreRejected(t *testing.T) {
	outcome, err := heddle.Try(plugin, "count_words", heddle.Trial{
		Config: map[string]any{"least": 2},
		Input:  heddle.TableOf([]text{{"one two"}, {""}}),
	})
	want := []heddle.Rejection{{Rows: []int{1}, Reason: "fewer than 2 words", ErrorType: "TooShort"}}
	if err != nil || !reflect.DeepEqual(outcome.Rejections, want) {
		t.Errorf("%v %v", outcome, err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	_, err := heddle.Try(plugin, "count_words", heddle.Trial{Config: map[string]any{"least": "two"}})
	if err == nil || !strings.Contains(err.Error(), "the setting `least` is a string where int is wanted") {
		t.Error(err)
	}
}
