package gather

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

var columns = map[string]arrow.DataType{
	`[1, null, 3, 4, 5]`:                               arrow.PrimitiveTypes.Int64,
	`[true, null, false, true, true]`:                  arrow.FixedWidthTypes.Boolean,
	`["a", null, "", "longer than twelve bytes", "e"]`: arrow.BinaryTypes.String,
	`["b", null, "", "longer than twelve bytes", "e"]`: arrow.BinaryTypes.LargeString,
	`["c", null, "", "longer than twelve bytes", "e"]`: arrow.BinaryTypes.StringView,
	`["x", null, "y", "x", "x"]`: &arrow.DictionaryType{
		IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String,
	},
	`[[1, null], null, [], [2], [3, 4, 5]]`:     arrow.ListOf(arrow.PrimitiveTypes.Int32),
	`[[1], null, [], [2], [3, 4]]`:              arrow.LargeListOf(arrow.PrimitiveTypes.Int32),
	`[[1, 2], null, [3, 4], [5, 6], [7, null]]`: arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32),
	`[[5], null, [], [6], [7, 8]]`:              arrow.ListViewOf(arrow.PrimitiveTypes.Int32),
	`[{"a": 1, "b": ["x"]}, null, {"a": null, "b": null}, {"a": 2, "b": []}, {"a": 3, "b": [null]}]`: arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	),
	`["1.50", null, "-2.25", "0.00", "9.99"]`:                        &arrow.Decimal128Type{Precision: 9, Scale: 2},
	`["q", "q", null, "r", "r"]`:                                     arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String),
	`[null, null, null, null, null]`:                                 arrow.Null,
	`["AAAA", null, "AQEB", "AgIC", "AwMD"]`:                         &arrow.FixedSizeBinaryType{ByteWidth: 3},
	`["2026-03-01", null, "1970-01-01", "2000-01-01", "1999-12-31"]`: arrow.FixedWidthTypes.Date32,
}

func TestTakeAndCopy(t *testing.T) {
	for text, dtype := range columns {
		whole, _, err := array.FromJSON(memory.DefaultAllocator, dtype, strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", dtype, err)
		}
		for _, values := range []arrow.Array{whole, array.NewSlice(whole, 1, 5)} {
			if copied := Copy(values); !array.Equal(copied, values) {
				t.Errorf("%s: a copy of %v is %v", dtype, values, copied)
			}
			for _, rows := range [][]int{{}, {0}, {3, 1, 1, 0}, {0, 1, 2, 3}} {
				taken := Take(values, rows)
				if got, want := shown(taken), shownRows(values, rows); got != want {
					t.Errorf("%s: rows %v are %s, not %s", dtype, rows, got, want)
				}
			}
		}
	}
}

func TestTheCopyIsInNewMemory(t *testing.T) {
	values, _, err := array.FromJSON(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64, strings.NewReader(`[1, 2]`))
	if err != nil {
		t.Fatal(err)
	}
	copied := Copy(values)
	values.(*array.Int64).Int64Values()[0] = 9
	if copied.(*array.Int64).Value(0) != 1 {
		t.Error("the copy changed")
	}
}

func shown(values arrow.Array) string {
	return shownRows(values, upTo(values.Len()))
}

func shownRows(values arrow.Array, rows []int) string {
	var parts []string
	for _, row := range rows {
		if values.IsNull(row) {
			parts = append(parts, "null")
		} else {
			parts = append(parts, fmt.Sprint(values.GetOneForMarshal(row)))
		}
	}
	return strings.Join(parts, " ")
}

func upTo(count int) []int {
	rows := make([]int, count)
	for i := range rows {
		rows[i] = i
	}
	return rows
}
