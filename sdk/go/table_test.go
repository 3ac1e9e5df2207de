package heddle

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

type everything struct {
	OrderID  int
	I8       int8
	U32      uint32
	F32      float32
	Ratio    float64
	Name     string
	Flag     bool
	Data     []byte
	At       time.Time
	Day      time.Time     `type:"date"`
	Clock    time.Duration `type:"time"`
	Took     time.Duration
	Amount   decimal128.Num `type:"decimal(10,2)"`
	Tags     []string
	Scores   []*int64
	Inner    inner
	Weights  map[string]float64
	Maybe    *string
	MaybeSub *inner
}

type inner struct {
	A int64
	B *float64
}

func TestStructsAndBack(t *testing.T) {
	text, number, half := "x", int64(4), 0.5
	rows := []everything{
		{
			1, -8, 32, 1.5, math.Inf(1), "žluť", true, []byte{0, 1}, time.UnixMicro(1234567).UTC(),
			time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), 5 * time.Hour, 3 * time.Second, decimal128.FromI64(1250),
			[]string{"a", "b"}, []*int64{&number, nil}, inner{1, &half}, map[string]float64{"w": 2}, &text,
			&inner{2, nil},
		},
		{At: time.UnixMicro(0).UTC(), Day: time.Unix(0, 0).UTC(), Data: []byte{}, Tags: []string{}, Scores: []*int64{}, Weights: map[string]float64{}},
	}
	back, err := Rows[everything](TableOf(rows))
	if err != nil || !reflect.DeepEqual(back, rows) {
		t.Errorf("%v\n%+v\n%+v", err, back, rows)
	}
	back, err = Rows[everything](TableOf(rows).Clone())
	if err != nil || !reflect.DeepEqual(back, rows) {
		t.Errorf("of a clone: %v\n%+v", err, back)
	}
}

func TestRowsAsText(t *testing.T) {
	row := RowOf[everything]().AndOthers()
	want := "{order_id: int, i8: int8, u32: uint32, f32: float32, ratio: float, name: string, flag: bool, " +
		"data: binary, at: timestamp, day: date, clock: time, took: duration, amount: decimal(10,2), " +
		"tags: list<string>, scores: list<int?>, inner: {a: int, b: float?}, "
	if !strings.HasPrefix(row.String(), want) || !strings.HasSuffix(row.String(), "maybe: string?, maybe_sub: {a: int, b: float?}?, ..}") {
		t.Errorf("%s", row)
	}
	for _, text := range []string{
		"{}", "{..}", "{a: int, b: string?, ..}", "{a: list<{x: decimal(40,2), y: list<bool?>?}>}", "{a: timestamp}",
	} {
		if got := MustParseRow(text).String(); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
	for _, text := range []string{"", "{a}", "{a: }", "{a: int", "{a: nope}", "{a: decimal(80,1)}", "{a: int} x", "{a: list<int}"} {
		if _, err := ParseRow(text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestRowsPassTheWire(t *testing.T) {
	row := Row{Columns: []Column{{"a", nil, true}, {"b", Timestamp, false}}, Open: true}
	encoded, err := row.encoded()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodedRow(encoded); err != nil || back.String() != row.String() || back.Columns[0].Type != nil {
		t.Errorf("%s %v", back, err)
	}
}

func TestColumnsThatDoNotFit(t *testing.T) {
	table := TableOf([]struct {
		Name *string
		X    int64
	}{{nil, 1}})
	for want, call := range map[string]func() error{
		"no column `y`; the table has `name`, `x`": func() error { _, err := Values[int64](table, "y"); return err },
		"the column `x` is int, not string":        func() error { _, err := Values[string](table, "x"); return err },
		"column `name`: it holds a null":           func() error { _, err := Values[string](table, "name"); return err },
		"the column `x` is int, not float":         func() error { _, err := Rows[struct{ X float64 }](table); return err },
		"2 values for a table of 1 rows":           func() error { _, err := table.With("z", ArrayOf([]int64{1, 2})); return err },
		"no column `z`":                            func() error { _, err := table.Select("z"); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; wanted %q", err, want)
		}
	}
	if values, err := Values[*string](table, "name"); err != nil || values[0] != nil {
		t.Errorf("%v %v", values, err)
	}
}

func TestTablesOfSeveralBatches(t *testing.T) {
	first, second := numbersTo(3), numbersTo(2)
	table, err := NewTable(first.Schema(), append(first.Batches(), second.Batches()...)...)
	if err != nil {
		t.Fatal(err)
	}
	table, err = table.With("y", ArrayOf([]string{"a", "b", "c", "d", "e"}))
	if err != nil {
		t.Fatal(err)
	}
	taken, err := table.Take([]int{4, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	type xy struct {
		X int64
		Y string
	}
	if rows, err := Rows[xy](taken); err != nil || !reflect.DeepEqual(rows, []xy{{1, "e"}, {0, "a"}, {0, "a"}}) {
		t.Errorf("%v %v", rows, err)
	}
	if kept, err := table.Filter(func(row int) bool { return row > 2 }); err != nil || kept.NumRows() != 2 {
		t.Errorf("%v %v", kept, err)
	}
	if only, err := table.Select("y"); err != nil || !reflect.DeepEqual(only.Names(), []string{"y"}) || only.NumRows() != 5 {
		t.Errorf("%v %v", only, err)
	}
	if record, err := table.Record(); err != nil || record.NumRows() != 5 {
		t.Errorf("%v %v", record, err)
	}
}

func TestATableWithoutBatches(t *testing.T) {
	table, err := NewTable(RowOf[number]().Schema())
	if err != nil {
		t.Fatal(err)
	}
	with, err := table.With("y", ArrayOf([]string{}))
	if err != nil || with.NumRows() != 0 || len(with.Names()) != 2 {
		t.Errorf("%v %v", with, err)
	}
	if column, err := table.Column("x"); err != nil || column.Len() != 0 {
		t.Errorf("%v %v", column, err)
	}
}

func TestAReplacedColumnStaysNullable(t *testing.T) {
	text := "a"
	table := TableOf([]struct{ Name *string }{{&text}})
	with, err := table.With("name", ArrayOf([]string{"b"}))
	if err != nil || !with.Schema().Field(0).Nullable {
		t.Errorf("%v %v", with.Schema(), err)
	}
}

func TestUseAfterTheEndPanics(t *testing.T) {
	table := numbersTo(1)
	table.Release()
	err := guarded(func() error { _, err := table.Column("x"); return err })
	if err == nil || !strings.Contains(err.Error(), "Retain") {
		t.Error(err)
	}
}
