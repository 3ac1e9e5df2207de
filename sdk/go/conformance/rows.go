package main

import (
	"iter"

	"github.com/apache/arrow-go/v18/arrow/array"

	heddle "github.com/heddle-lang/heddle/sdk/go"
)

type x struct{ X int64 }

type xy struct{ X, Y int64 }

type totalRow struct{ Total int64 }

type numberRow struct{ N int64 }

type addConfig struct{ Amount int64 }

type repeatConfig struct {
	Times int `default:"2"`
}

type numbersConfig struct {
	Count     int64
	BatchRows int64 `default:"1000"`
}

func identity[C any](_ *heddle.Call, _ C, input *heddle.Table) (*heddle.Table, error) {
	return input, nil
}

func rebuild(_ *heddle.Call, _ heddle.NoConfig, input *heddle.Table) (*heddle.Table, error) {
	return input.Clone(), nil
}

// xOf reads the column in place.
func xOf(input *heddle.Table) ([]int64, error) {
	column, err := input.Column("x")
	if err != nil {
		return nil, err
	}
	return column.(*array.Int64).Int64Values(), nil
}

func add(_ *heddle.Call, config addConfig, input *heddle.Table) (*heddle.Table, error) {
	xs, err := xOf(input)
	if err != nil {
		return nil, err
	}
	ys := make([]int64, len(xs))
	for i, x := range xs {
		ys[i] = x + config.Amount
	}
	return input.With("y", heddle.ArrayOf(ys))
}

func rejectNegative(call *heddle.Call, _ heddle.NoConfig, input *heddle.Table) (*heddle.Table, error) {
	xs, err := xOf(input)
	if err != nil {
		return nil, err
	}
	var negative []int
	for i, x := range xs {
		if x < 0 {
			negative = append(negative, i)
		}
	}
	call.RejectAs("Negative", "x is negative", negative...)
	return input, nil
}

func keepEven(_ *heddle.Call, _ heddle.NoConfig, input *heddle.Table) (*heddle.Table, error) {
	xs, err := xOf(input)
	if err != nil {
		return nil, err
	}
	return input.Filter(func(row int) bool { return xs[row]%2 == 0 })
}

func repeat(_ *heddle.Call, config repeatConfig, input *heddle.Table) (*heddle.Table, error) {
	var rows []int
	for row := range input.NumRows() {
		for range config.Times {
			rows = append(rows, row)
		}
	}
	return input.Take(rows)
}

func total(_ *heddle.Call, _ heddle.NoConfig, input *heddle.Table) (*heddle.Table, error) {
	xs, err := xOf(input)
	if err != nil {
		return nil, err
	}
	sum := int64(0)
	for _, x := range xs {
		sum += x
	}
	return heddle.TableOf([]totalRow{{sum}}), nil
}

func numbers(_ *heddle.Call, config numbersConfig) iter.Seq2[*heddle.Table, error] {
	return func(yield func(*heddle.Table, error) bool) {
		for start := int64(0); start < config.Count; start += config.BatchRows {
			var rows []numberRow
			for n := start; n < min(start+config.BatchRows, config.Count); n++ {
				rows = append(rows, numberRow{n})
			}
			if !yield(heddle.TableOf(rows), nil) {
				return
			}
		}
	}
}
