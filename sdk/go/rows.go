package heddle

import (
	"fmt"
	"iter"
	"reflect"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TableOf is a table of structs, with the columns of RowOf.
func TableOf[T any](rows []T) *Table {
	columns := columnsOf(reflect.TypeFor[T](), 0)
	arrays := make([]arrow.Array, len(columns))
	given := reflect.ValueOf(rows)
	for i, column := range columns {
		builder := array.NewBuilder(memory.DefaultAllocator, column.column.Type)
		builder.Reserve(len(rows))
		for row := range len(rows) {
			appendValue(builder, given.Index(row).FieldByIndex(column.index))
		}
		arrays[i] = builder.NewArray()
		builder.Release()
	}
	batch := array.NewRecordBatch(RowOf[T]().Schema(), arrays, int64(len(rows)))
	return newTable(nil, batch.Schema(), []arrow.RecordBatch{batch})
}

// Rows are the rows of a table as structs, by the names of their columns; columns that the struct does not
// have are left out. The values are copies. It is an error that names the column when one is missing, is of
// another type, or holds a null where the field is not a pointer.
func Rows[T any](table *Table) ([]T, error) {
	rows := make([]T, 0, table.NumRows())
	for row, err := range Scan[T](table) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Scan gives the rows of a table one by one, as Rows does. The first error ends it.
func Scan[T any](table *Table) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		columns := columnsOf(reflect.TypeFor[T](), 0)
		indices := make([]int, len(columns))
		for i, column := range columns {
			index, err := table.typedIndex(column.column)
			if err != nil {
				yield(*new(T), err)
				return
			}
			indices[i] = index
		}
		for _, batch := range table.Batches() {
			for row := range int(batch.NumRows()) {
				var value T
				target := reflect.ValueOf(&value).Elem()
				for i, column := range columns {
					field := target.FieldByIndex(column.index)
					if err := readValue(batch.Column(indices[i]), row, field); err != nil {
						yield(value, fmt.Errorf("column `%s`: %w", column.column.Name, err))
						return
					}
				}
				if !yield(value, nil) {
					return
				}
			}
		}
	}
}

// Values are the values of a column as Go values, copied. The Go types are those of RowOf; T must be a
// pointer type when the column may hold nulls.
func Values[T any](table *Table, name string) ([]T, error) {
	dtype, nullable, err := columnType(reflect.TypeFor[T](), "", 0)
	if err != nil {
		return nil, err
	}
	index, err := table.typedIndex(Column{name, dtype, nullable})
	if err != nil {
		return nil, err
	}
	values := make([]T, table.NumRows())
	rest := values
	for _, batch := range table.Batches() {
		column := batch.Column(index)
		part := rest[:column.Len()]
		rest = rest[column.Len():]
		if copyPlain(part, column) {
			continue
		}
		for row := range part {
			if err := readValue(column, row, reflect.ValueOf(&part[row]).Elem()); err != nil {
				return nil, fmt.Errorf("column `%s`: %w", name, err)
			}
		}
	}
	return values, nil
}

// ArrayOf is an Arrow array of Go values, which are those of RowOf.
func ArrayOf[T any](values []T) arrow.Array {
	dtype, _, err := columnType(reflect.TypeFor[T](), "", 0)
	if err != nil {
		panic(err.Error())
	}
	builder := array.NewBuilder(memory.DefaultAllocator, dtype)
	defer builder.Release()
	switch typed := any(values).(type) {
	case []int64:
		builder.(*array.Int64Builder).AppendValues(typed, nil)
	case []float64:
		builder.(*array.Float64Builder).AppendValues(typed, nil)
	case []string:
		builder.(*array.StringBuilder).AppendValues(typed, nil)
	default:
		given := reflect.ValueOf(values)
		builder.Reserve(len(values))
		for i := range len(values) {
			appendValue(builder, given.Index(i))
		}
	}
	return builder.NewArray()
}

// copyPlain copies a column without nulls whose values are those of the Go type, and tells whether it is one.
func copyPlain[T any](values []T, column arrow.Array) bool {
	if column.NullN() > 0 {
		return false
	}
	switch typed := any(values).(type) {
	case []int64:
		if from, ok := column.(*array.Int64); ok {
			return copy(typed, from.Int64Values()) == len(typed)
		}
	case []float64:
		if from, ok := column.(*array.Float64); ok {
			return copy(typed, from.Float64Values()) == len(typed)
		}
	}
	return false
}

func (t *Table) typedIndex(wanted Column) (int, error) {
	index, err := t.index(wanted.Name)
	if err != nil {
		return 0, err
	}
	if found := t.schema.Field(index).Type; !readable(found, wanted.Type) {
		return 0, fmt.Errorf("the column `%s` is %s, not %s",
			wanted.Name, TypeName(found, false), TypeName(wanted.Type, false))
	}
	return index, nil
}
