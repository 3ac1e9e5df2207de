package main

import (
	"fmt"
	"iter"
	"os"
	"time"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type failConfig struct {
	Message   string
	Transient bool `default:"false"`
}

func fail(_ *heddle.Call, config failConfig, _ *heddle.Table) (*heddle.Table, error) {
	err := heddle.Errorf("ConformanceError", "%s", config.Message)
	err.Transient = config.Transient
	return nil, err
}

type sleepConfig struct{ Seconds float64 }

func sleep(call *heddle.Call, config sleepConfig, input *heddle.Table) (*heddle.Table, error) {
	for end := time.Now().Add(time.Duration(config.Seconds * float64(time.Second))); time.Now().Before(end); {
		if call.Cancelled() {
			return nil, heddle.Errorf("CancelledError", "the sleep was cancelled")
		}
		time.Sleep(min(10*time.Millisecond, time.Until(end)))
	}
	return input, nil
}

func hang(*heddle.Call, heddle.NoConfig, *heddle.Table) (*heddle.Table, error) { select {} }

type logConfig struct{ Message string }

func log(call *heddle.Call, config logConfig, input *heddle.Table) (*heddle.Table, error) {
	rows := input.NumRows()
	key, _ := call.IdempotencyKey()
	call.Log.Info(config.Message, "rows", rows, "step", call.Step, "key", key)
	fmt.Println("out: " + config.Message)
	fmt.Fprintln(os.Stderr, "err: "+config.Message)
	call.Progress(rows, rows, "")
	call.Metric("seen", float64(rows), "rows")
	return input, nil
}

type contextRow struct {
	RunID          string
	Workflow       string
	Step           string
	Attempt        int64
	IdempotencyKey *string
	Deadline       *float64
}

func showContext(call *heddle.Call, _ heddle.NoConfig) iter.Seq2[*heddle.Table, error] {
	row := contextRow{RunID: call.RunID, Workflow: call.Workflow, Step: call.Step, Attempt: int64(call.Attempt)}
	if key, ok := call.IdempotencyKey(); ok {
		row.IdempotencyKey = &key
	}
	if timeout, ok := call.Timeout(); ok {
		seconds := timeout.Seconds()
		row.Deadline = &seconds
	}
	return heddle.One(heddle.TableOf([]contextRow{row}), nil)
}

type growConfig struct{ Mebibytes int }

func grow(_ *heddle.Call, config growConfig, input *heddle.Table) (*heddle.Table, error) {
	memory := make([]byte, config.Mebibytes<<20)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	return input, nil
}

type environmentConfig struct{ Name string }

type valueRow struct{ Value *string }

func environment(_ *heddle.Call, config environmentConfig) iter.Seq2[*heddle.Table, error] {
	row := valueRow{}
	if value, ok := os.LookupEnv(config.Name); ok {
		row.Value = &value
	}
	return heddle.One(heddle.TableOf([]valueRow{row}), nil)
}
