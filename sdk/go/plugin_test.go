package heddle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/array"
)

type number struct{ X int64 }

type place struct{ At, Length int64 }

type keptTables struct {
	mutex  sync.Mutex
	tables []*Table
}

var kept keptTables

// testPlugin is what the tests of this package call.
var testPlugin = Plugin{
	Namespace: "tests",
	Offers: []Offer{
		Step[NoConfig]{Name: "identity", Rows: Map, Run: func(_ *Call, _ NoConfig, input *Table) (*Table, error) {
			return input, nil
		}},
		Step[NoConfig]{Name: "copy", Rows: Map, Run: func(_ *Call, _ NoConfig, input *Table) (*Table, error) {
			return input.Clone(), nil
		}},
		Step[NoConfig]{
			Name: "double", Rows: Map, Passthrough: true, Input: RowOf[number]().AndOthers(),
			Output: RowOf[number]().AndOthers(), Run: double,
		},
		Step[NoConfig]{Name: "addresses", Output: RowOf[place](), Run: addresses},
		Step[NoConfig]{Name: "own record", Rows: Map, Run: ownRecord},
		Step[NoConfig]{Name: "keep", Run: func(_ *Call, _ NoConfig, input *Table) (*Table, error) {
			kept.mutex.Lock()
			defer kept.mutex.Unlock()
			kept.tables = append(kept.tables, input.Retain())
			return TableOf([]number{{int64(len(kept.tables))}}), nil
		}},
		Source[NoConfig]{Name: "let go", Run: func(*Call, NoConfig) iter.Seq2[*Table, error] {
			kept.mutex.Lock()
			defer kept.mutex.Unlock()
			sum := int64(0)
			for _, table := range kept.tables {
				for _, x := range mustValues(table) {
					sum += x
				}
				table.Release()
			}
			kept.tables = nil
			return One(TableOf([]number{{sum}}), nil)
		}},
		Step[NoConfig]{Name: "leak", Run: func(_ *Call, _ NoConfig, input *Table) (*Table, error) {
			input.Retain()
			return TableOf([]number{{int64(input.NumRows())}}), nil
		}},
		Step[NoConfig]{Name: "panic", Run: func(*Call, NoConfig, *Table) (*Table, error) {
			var values []int
			return nil, fmt.Errorf("%d", values[3])
		}},
		Step[NoConfig]{Name: "hang", Run: func(*Call, NoConfig, *Table) (*Table, error) { select {} }},
		Step[NoConfig]{Name: "until cancelled", Run: func(call *Call, _ NoConfig, _ *Table) (*Table, error) {
			call.Log.Info("waiting")
			<-call.Done()
			return nil, call.Err()
		}},
		Source[struct{ Seconds float64 }]{
			Name: "slow numbers", Output: RowOf[number](),
			Run: func(call *Call, config struct{ Seconds float64 }) iter.Seq2[*Table, error] {
				return func(yield func(*Table, error) bool) {
					for i := int64(0); yield(TableOf([]number{{i}}), call.Err()); i++ {
						time.Sleep(time.Duration(config.Seconds * float64(time.Second)))
					}
				}
			},
		},
		Resource[struct{}, *slowCloser]{Name: "closer", Open: func(context.Context, struct{}) (*slowCloser, error) {
			return &slowCloser{}, nil
		}},
	},
}

type slowCloser struct{}

func (*slowCloser) Close() error { return errors.New("closed with a problem") }

func mustValues(table *Table) []int64 {
	values, err := Values[int64](table, "x")
	if err != nil {
		panic(err)
	}
	return values
}

func double(call *Call, _ NoConfig, input *Table) (*Table, error) {
	xs, err := Values[int64](input, "x")
	if err != nil {
		return nil, err
	}
	for i, x := range xs {
		if x < 0 {
			call.Reject("negative", i)
		}
		xs[i] = 2 * x
	}
	return input.With("x", ArrayOf(xs))
}

// addresses tells where the values of `x` stand.
func addresses(_ *Call, _ NoConfig, input *Table) (*Table, error) {
	var places []place
	for _, batch := range input.Batches() {
		column := batch.Column(0).(*array.Int64)
		at := uintptr(unsafe.Pointer(unsafe.SliceData(column.Int64Values())))
		places = append(places, place{int64(at), int64(column.Len())})
	}
	return TableOf(places), nil
}

// ownRecord makes its result with Arrow's own means, of columns of its input.
func ownRecord(_ *Call, _ NoConfig, input *Table) (*Table, error) {
	record := array.NewRecordBatch(input.Schema(), input.Batches()[0].Columns(), int64(input.NumRows()))
	defer record.Release()
	return FromBatch(record), nil
}
