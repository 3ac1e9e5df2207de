package heddle

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// Call is what a step knows of the call that it answers. It is a context.Context that is done when the run is
// being stopped, so it can be handed to whatever the step waits for. Its methods may be called by several
// goroutines; what they report after the step returned is dropped.
type Call struct {
	context.Context

	// RunID, Workflow and Step say where the call stands.
	RunID, Workflow, Step string
	// Attempt is 1 for the first.
	Attempt int
	// Log writes to the run's log. Its attributes become the fields of the entry.
	Log *slog.Logger

	idempotencyKey *string
	deadline       *float64
	begin          time.Time
	base           string
	resources      map[string]any
	rowCount       int
	rejects        bool
	reporter       reporter

	mutex      sync.Mutex
	ended      bool
	rejections []Rejection
	refused    error
}

// Rejection is rows of a call's input that a step refused. Rows are ascending.
type Rejection struct {
	Rows      []int
	Reason    string
	ErrorType string
}

// reporter takes what a call reports while it goes on.
type reporter interface {
	log(entry *wire.Log)
	progress(progress *wire.Progress)
	metric(metric *wire.Metric)
}

// IdempotencyKey is equal for every attempt of one call; not all calls have one.
func (c *Call) IdempotencyKey() (key string, ok bool) {
	if c.idempotencyKey == nil {
		return "", false
	}
	return *c.idempotencyKey, true
}

// Timeout is the time after the call's begin when the engine gives it up; not all calls have one.
func (c *Call) Timeout() (after time.Duration, ok bool) {
	if c.deadline == nil {
		return 0, false
	}
	return time.Duration(*c.deadline * float64(time.Second)), true
}

// Deadline implements context.Context: the call's begin and its Timeout. The engine cancels the call when it
// has passed.
func (c *Call) Deadline() (deadline time.Time, ok bool) {
	after, ok := c.Timeout()
	if !ok {
		return time.Time{}, false
	}
	return c.begin.Add(after), true
}

// Cancelled tells whether the run is being stopped. A call that does not end within 2 s after that takes the
// whole process with it.
func (c *Call) Cancelled() bool { return c.Err() != nil }

// Path is a path of the step's settings: a relative one starts in the program's folder.
func (c *Call) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.base, path)
}

// Reject refuses rows of the call's input, counted from 0: they go to the program's handler with the reason,
// the others pass. Only steps with Rows: Map may do so; their result may be with or without the refused rows.
func (c *Call) Reject(reason string, rows ...int) { c.RejectAs("Rejected", reason, rows...) }

// RejectAs is Reject with a type of the program's own choice, such as "Negative".
func (c *Call) RejectAs(errorType, reason string, rows ...int) {
	if len(rows) == 0 {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.ended || c.refused != nil {
		return
	}
	if !c.rejects {
		c.refused = contractError("`%s` rejected rows, which only a step with Rows: heddle.Map may do", c.Step)
		return
	}
	sorted := slices.Clone(rows)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	for _, end := range []int{sorted[0], sorted[len(sorted)-1]} {
		if end < 0 || end >= c.rowCount {
			c.refused = contractError("`%s` rejected row %d, which is not one of its %d rows", c.Step, end, c.rowCount)
			return
		}
	}
	for i, earlier := range c.rejections {
		if earlier.Reason == reason && earlier.ErrorType == errorType {
			merged := append(earlier.Rows, sorted...)
			if earlier.Rows[len(earlier.Rows)-1] >= sorted[0] {
				slices.Sort(merged)
				merged = slices.Compact(merged)
			}
			c.rejections[i].Rows = merged
			return
		}
	}
	c.rejections = append(c.rejections, Rejection{sorted, reason, errorType})
}

// Progress says how many rows are done; total is 0 when that is not known.
func (c *Call) Progress(done, total int, message string) {
	c.report(func() {
		c.reporter.progress(&wire.Progress{
			RowsDone: uint64(max(done, 0)), RowsTotal: uint64(max(total, 0)), Message: clipped(message),
		})
	})
}

// Metric reports a number of the call, such as ("tokens", 1200, "tokens").
func (c *Call) Metric(name string, value float64, unit string) {
	c.report(func() {
		c.reporter.metric(&wire.Metric{Name: clipped(name), Value: value, Unit: clipped(unit)})
	})
}

// Use is the value of a step's resource by the slot's name. It panics when the step has no such slot, when an
// optional one was left empty, and when the resource is not a T.
func Use[T any](call *Call, slot string) T {
	value, ok := Find[T](call, slot)
	if !ok {
		panic(fmt.Sprintf("the step `%s` was given no resource in a slot `%s`", call.Step, slot))
	}
	return value
}

// Find is Use for a slot that may have been left empty.
func Find[T any](call *Call, slot string) (value T, ok bool) {
	given, ok := call.resources[slot]
	if !ok {
		return value, false
	}
	value, fits := given.(T)
	if !fits {
		panic(fmt.Sprintf("the resource in slot `%s` of the step `%s` is %T, not %T", slot, call.Step, given, value))
	}
	return value, true
}

// report keeps a report of a goroutine that outlived the call away from the next one.
func (c *Call) report(send func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.ended && c.reporter != nil {
		send()
	}
}

// end closes the call and gives what it rejected.
func (c *Call) end() ([]Rejection, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.ended = true
	return c.rejections, c.refused
}
