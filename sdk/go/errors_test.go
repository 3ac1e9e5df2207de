package heddle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

type notFound struct{}

func (notFound) Error() string { return "not found" }

func TestErrorsAsFailures(t *testing.T) {
	_, missing := os.Open("/nowhere")
	for want, err := range map[string]error{
		"Error":                  errors.New("plain"),
		"NotFound":               fmt.Errorf("while looking: %w", notFound{}),
		"PathError":              missing,
		"OpError!":               &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"Busy!":                  &Error{Type: "Busy", Message: "busy", Transient: true},
		"Error!":                 Transient(errors.New("again")),
		"Gone":                   fmt.Errorf("x: %w", Errorf("Gone", "gone")),
		"ConfigError":            configError("bad"),
		"ContractError":          contractError("bad"),
		"deadlineExceededError!": fmt.Errorf("x: %w", context.DeadlineExceeded),
	} {
		failure := failureOf(err)
		transient := strings.HasSuffix(want, "!")
		if !strings.EqualFold(failure.GetErrorType(), strings.TrimSuffix(want, "!")) || failure.GetTransient() != transient {
			t.Errorf("%v: %v; wanted %s", err, failure, want)
		}
		if failure.GetMessage() != err.Error() {
			t.Errorf("message %q", failure.GetMessage())
		}
	}
}

func TestStackTracesShowTheUsersCode(t *testing.T) {
	made := failureOf(Errorf("Made", "made"))
	if made.GetStackTrace() != "" {
		t.Errorf("this package's own frames are shown: %s", made.GetStackTrace())
	}
	err := guarded(func() error { panic("thrown") })
	failure := failureOf(err)
	if failure.GetErrorType() != "Panic" || failure.GetMessage() != "thrown" {
		t.Errorf("%v", failure)
	}
}

func TestTextsAreValidAndBounded(t *testing.T) {
	failure := failureOf(errors.New(strings.Repeat("ž", textBytesMax) + "\xff"))
	if len(failure.GetMessage()) > textBytesMax+8 || !strings.HasSuffix(failure.GetMessage(), "…") {
		t.Errorf("%d bytes", len(failure.GetMessage()))
	}
	if got := clipped("a\xffb"); got != "a\uFFFDb" {
		t.Errorf("%q", got)
	}
}

func TestTry(t *testing.T) {
	plugin := Plugin{Namespace: "x", Offers: []Offer{
		Resource[NoConfig, int]{Name: "n", Open: func(context.Context, NoConfig) (int, error) { return 7, nil }},
		Step[NoConfig]{
			Name: "report", Rows: Map, Output: RowOf[number](), Slots: []Slot{{Name: "n"}},
			Run: func(call *Call, _ NoConfig, input *Table) (*Table, error) {
				call.Log.With("a", 1).WithGroup("g").Warn("careful", "b", true)
				call.Progress(1, 2, "half")
				call.Metric("m", 1.5, "s")
				call.Reject("no", 1, 0, 1)
				call.Reject("no", 2)
				return TableOf([]number{{int64(Use[int](call, "n"))}}), nil
			},
		},
		Step[NoConfig]{Name: "wrong row", Rows: Map, Run: func(call *Call, _ NoConfig, input *Table) (*Table, error) {
			call.Reject("no", 99)
			return input, nil
		}},
		Step[NoConfig]{Name: "no map", Run: func(call *Call, _ NoConfig, input *Table) (*Table, error) {
			call.Reject("no", 0)
			return input, nil
		}},
		Step[NoConfig]{Name: "lies", Output: RowOf[place](), Run: func(_ *Call, _ NoConfig, input *Table) (*Table, error) {
			return input, nil
		}},
		Step[NoConfig]{Name: "nil", Run: func(*Call, NoConfig, *Table) (*Table, error) { return nil, nil }},
		Step[NoConfig]{Name: "panics", Run: func(call *Call, _ NoConfig, _ *Table) (*Table, error) {
			Use[string](call, "nothing")
			return nil, nil
		}},
		Step[NoConfig]{Name: "bodiless"},
	}}
	outcome, err := Try(plugin, "report", Trial{Input: numbersTo(3), Resources: map[string]any{"n": 7}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(outcome.Logs, outcome.Progress, outcome.Metrics, outcome.Rejections); got !=
		"[{warning careful map[a:1 g.b:true]}] [{1 2 half}] [{m 1.5 s}] [{[0 1 2] no Rejected}]" {
		t.Error(got)
	}
	for step, want := range map[string]string{
		"wrong row": "rejected row 99, which is not one of its 3 rows",
		"no map":    "only a step with Rows: heddle.Map",
		"lies":      "there is no column `at`",
		"nil":       "returned nil where a table is wanted",
		"panics":    "was given no resource in a slot `nothing`",
		"bodiless":  "declared, but has no body",
		"report":    "needs a resource in the slot `n`",
		"unknown":   "has no step `unknown`",
	} {
		if _, err := Try(plugin, step, Trial{Input: numbersTo(3)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; wanted %q", step, err, want)
		}
	}
	if failure := failureOf(unsupportedError("x")); failure.GetKind() != wire.Failure_UNSUPPORTED {
		t.Error(failure)
	}
}
