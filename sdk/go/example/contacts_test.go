package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type person struct {
	Email string
	Age   int64
}

func openList(t *testing.T, text string) (any, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "blocklist.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return heddle.OpenForTrial(t.Context(), plugin, "blocklist", map[string]any{"path": path})
}

func TestClean(t *testing.T) {
	list, err := openList(t, "# spam\nspam.example\n")
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := heddle.Try(plugin, "clean", heddle.Trial{
		Input: heddle.TableOf([]person{
			{" Ada@Example.org ", 36}, {"nobody", 20}, {"x@SPAM.example", 1},
		}),
		Resources: map[string]any{"blocklist": list},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := heddle.Rows[struct {
		Email, Domain string
		Age           int64
	}](outcome.Table)
	if err != nil || rows[0].Email != "ada@example.org" || rows[0].Domain != "example.org" || rows[0].Age != 36 {
		t.Errorf("%v %v", rows, err)
	}
	want := []heddle.Rejection{
		{Rows: []int{1}, Reason: "not an e-mail address", ErrorType: "NotAnAddress"},
		{Rows: []int{2}, Reason: "the domain is on the blocklist", ErrorType: "Blocked"},
	}
	if !reflect.DeepEqual(outcome.Rejections, want) {
		t.Errorf("rejections %v", outcome.Rejections)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	_, err := heddle.Try(plugin, "clean", heddle.Trial{Config: map[string]any{"case": "upper"}})
	if err == nil || !strings.Contains(err.Error(), `"lower" or "keep"`) {
		t.Error(err)
	}
}

func TestUniqueKeepsTheFirst(t *testing.T) {
	outcome, err := heddle.Try(plugin, "unique", heddle.Trial{
		Input: heddle.TableOf([]person{{"a@x", 1}, {"b@x", 2}, {"a@x", 3}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := heddle.Rows[person](outcome.Table)
	if err != nil || !reflect.DeepEqual(rows, []person{{"a@x", 1}, {"b@x", 2}}) {
		t.Errorf("%v %v", rows, err)
	}
	if len(outcome.Logs) != 1 || outcome.Logs[0].Fields["rows"] != "1" {
		t.Errorf("logs %v", outcome.Logs)
	}
}

func TestSample(t *testing.T) {
	outcome, err := heddle.Try(plugin, "sample", heddle.Trial{Config: map[string]any{"count": 2500}})
	if err != nil || outcome.Table.NumRows() != 2500 || len(outcome.Table.Batches()) != 3 {
		t.Errorf("%v %v", outcome, err)
	}
}

func TestAMissingListSaysSo(t *testing.T) {
	_, err := heddle.OpenForTrial(t.Context(), plugin, "blocklist", map[string]any{"path": "/nowhere"})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Error(err)
	}
}
