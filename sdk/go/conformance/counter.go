package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync/atomic"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type counterConfig struct {
	Start int64         `default:"0"`
	Fail  bool          `default:"false"`
	Token heddle.Secret `default:""`
}

type countRow struct{ Count int64 }

// counter is a number that calls may add to.
type counter struct{ value atomic.Int64 }

func openCounter(_ context.Context, config counterConfig) (*counter, error) {
	if config.Fail {
		return nil, &heddle.Error{Type: "CounterBroken", Message: "the counter is broken", Transient: true}
	}
	result := &counter{}
	result.value.Store(config.Start)
	return result, nil
}

func (c *counter) Health(context.Context) error {
	if c.value.Load() < 0 {
		return errors.New("the counter is negative")
	}
	return nil
}

func (c *counter) Close() error {
	fmt.Fprintf(os.Stderr, "counter closed at %d\n", c.value.Load())
	return nil
}

func sink(call *heddle.Call, _ heddle.NoConfig, input *heddle.Table) error {
	heddle.Use[*counter](call, "counter").value.Add(int64(input.NumRows()))
	return nil
}

func count(call *heddle.Call, _ heddle.NoConfig) iter.Seq2[*heddle.Table, error] {
	value := heddle.Use[*counter](call, "counter").value.Load()
	return heddle.One(heddle.TableOf([]countRow{{value}}), nil)
}
