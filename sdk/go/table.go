package heddle

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/heddle-lang/heddle/sdk/go/internal/gather"
)

// Table is an immutable table: record batches of one schema. Methods that give a table leave theirs as it
// is, and share columns with it where they can.
//
// The table that a step is given, and all that its methods make of it, end with the call. A step that keeps
// one longer says so with Retain, or keeps a Clone; using a table after its end panics. A step may return any
// table, its input too: what it returns need not be released.
type Table struct {
	schema  *arrow.Schema
	batches []arrow.RecordBatch
	rows    int64
	refs    atomic.Int64
	scope   *scope
}

// NewTable is a table of record batches, which it retains. All must have the given schema.
func NewTable(schema *arrow.Schema, batches ...arrow.RecordBatch) (*Table, error) {
	for i, batch := range batches {
		if !batch.Schema().Equal(schema) {
			return nil, fmt.Errorf("batch %d has the columns %s, and the table has %s",
				i, RowOfSchema(batch.Schema()), RowOfSchema(schema))
		}
	}
	for _, batch := range batches {
		batch.Retain()
	}
	return newTable(nil, schema, batches), nil
}

// FromBatch is a table of one record batch, which it retains.
func FromBatch(batch arrow.RecordBatch) *Table {
	batch.Retain()
	return newTable(nil, batch.Schema(), []arrow.RecordBatch{batch})
}

// newTable takes over the references to the batches.
func newTable(scope *scope, schema *arrow.Schema, batches []arrow.RecordBatch) *Table {
	table := &Table{schema: schema, batches: batches, scope: scope}
	for _, batch := range batches {
		table.rows += batch.NumRows()
	}
	table.refs.Store(1)
	if scope != nil && !scope.add(table) {
		table.scope = nil
	}
	return table
}

// Schema is the table's Arrow schema.
func (t *Table) Schema() *arrow.Schema { return t.schema }

// NumRows is the number of rows.
func (t *Table) NumRows() int { return int(t.rows) }

// Batches are the record batches. They are valid as long as the table; there may be none.
func (t *Table) Batches() []arrow.RecordBatch {
	if t.refs.Load() <= 0 {
		panic("a table was used after the call that it belongs to; keep it with Retain, or keep a Clone")
	}
	return t.batches
}

// Names are the names of the columns, in order.
func (t *Table) Names() []string {
	names := make([]string, t.schema.NumFields())
	for i, field := range t.schema.Fields() {
		names[i] = field.Name
	}
	return names
}

// Column is a column as one array, which is valid as long as the table. Of a table with several batches it
// is put together in new memory. It is an error that names the table's columns when there is none of the name.
func (t *Table) Column(name string) (arrow.Array, error) {
	index, err := t.index(name)
	if err != nil {
		return nil, err
	}
	if len(t.Batches()) == 1 {
		return t.batches[0].Column(index), nil
	}
	return t.concatenated(index)
}

// Record is the table as one record batch, which is valid as long as the table. Of a table with several
// batches it is put together in new memory.
func (t *Table) Record() (arrow.RecordBatch, error) {
	if len(t.Batches()) == 1 {
		return t.batches[0], nil
	}
	columns := make([]arrow.Array, t.schema.NumFields())
	for i := range columns {
		column, err := t.concatenated(i)
		if err != nil {
			return nil, err
		}
		columns[i] = column
	}
	return array.NewRecordBatch(t.schema, columns, t.rows), nil
}

func (t *Table) concatenated(index int) (arrow.Array, error) {
	if len(t.Batches()) == 0 {
		builder := array.NewBuilder(memory.DefaultAllocator, t.schema.Field(index).Type)
		defer builder.Release()
		return builder.NewArray(), nil
	}
	parts := make([]arrow.Array, len(t.Batches()))
	for i, batch := range t.Batches() {
		parts[i] = batch.Column(index)
	}
	column, err := array.Concatenate(parts, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("the batches of the column `%s` cannot be put together: %w",
			t.schema.Field(index).Name, err)
	}
	return column, nil
}

// With is the table with a column added at its end, or with the column of that name replaced. values has a
// value for each row; it is nullable when it holds nulls or when the column that it replaces was.
func (t *Table) With(name string, values arrow.Array) (*Table, error) {
	if int64(values.Len()) != t.rows {
		return nil, fmt.Errorf("the column `%s` has %d values for a table of %d rows", name, values.Len(), t.rows)
	}
	field := arrow.Field{Name: name, Type: values.DataType(), Nullable: values.NullN() > 0}
	fields := slices.Clone(t.schema.Fields())
	index := slices.IndexFunc(fields, func(f arrow.Field) bool { return f.Name == name })
	if index < 0 {
		index, fields = len(fields), append(fields, field)
	} else {
		field.Nullable = field.Nullable || fields[index].Nullable
		fields[index] = field
	}
	metadata := t.schema.Metadata()
	schema := arrow.NewSchema(fields, &metadata)
	given := t.Batches()
	if len(given) == 0 {
		empty := array.NewRecordBatch(t.schema, t.emptyColumns(), 0)
		defer empty.Release()
		given = []arrow.RecordBatch{empty}
	}
	batches := make([]arrow.RecordBatch, len(given))
	start := int64(0)
	for i, batch := range given {
		columns := slices.Clone(batch.Columns())
		part := array.NewSlice(values, start, start+batch.NumRows())
		if index < len(columns) {
			columns[index] = part
		} else {
			columns = append(columns, part)
		}
		batches[i] = array.NewRecordBatch(schema, columns, batch.NumRows())
		part.Release()
		start += batch.NumRows()
	}
	return newTable(t.scope, schema, batches), nil
}

// Select is the table with the named columns only, in the given order.
func (t *Table) Select(names ...string) (*Table, error) {
	indices := make([]int, len(names))
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		index, err := t.index(name)
		if err != nil {
			return nil, err
		}
		indices[i], fields[i] = index, t.schema.Field(index)
	}
	metadata := t.schema.Metadata()
	schema := arrow.NewSchema(fields, &metadata)
	batches := make([]arrow.RecordBatch, len(t.Batches()))
	for i, batch := range t.Batches() {
		columns := make([]arrow.Array, len(indices))
		for at, index := range indices {
			columns[at] = batch.Column(index)
		}
		batches[i] = array.NewRecordBatch(schema, columns, batch.NumRows())
	}
	return newTable(t.scope, schema, batches), nil
}

// Take is a table of the rows with the given numbers, counted from 0, in that order. A row may be taken more
// than once. It is a copy. It panics for a number that is not in the table.
func (t *Table) Take(rows []int) (*Table, error) {
	for _, row := range rows {
		if row < 0 || int64(row) >= t.rows {
			panic(fmt.Sprintf("row %d was taken of a table with %d rows", row, t.rows))
		}
	}
	record, err := t.Record()
	if err != nil {
		return nil, err
	}
	columns := make([]arrow.Array, record.NumCols())
	for i, column := range record.Columns() {
		columns[i] = gather.Take(column, rows)
	}
	taken := array.NewRecordBatch(t.schema, columns, int64(len(rows)))
	return newTable(nil, t.schema, []arrow.RecordBatch{taken}), nil
}

// Filter is a table of the rows for which keep is true. It is a copy.
func (t *Table) Filter(keep func(row int) bool) (*Table, error) {
	rows := make([]int, 0, t.rows)
	for row := range int(t.rows) {
		if keep(row) {
			rows = append(rows, row)
		}
	}
	return t.Take(rows)
}

// Clone is a deep copy in memory of the plugin's own. It may be kept without Retain.
func (t *Table) Clone() *Table {
	batches := make([]arrow.RecordBatch, len(t.Batches()))
	for i, batch := range t.Batches() {
		columns := make([]arrow.Array, batch.NumCols())
		for at, column := range batch.Columns() {
			columns[at] = gather.Copy(column)
		}
		batches[i] = array.NewRecordBatch(t.schema, columns, batch.NumRows())
	}
	return newTable(nil, t.schema, batches)
}

// Retain keeps the table alive after the call that it belongs to, until Release. It gives the table itself.
// As long as it is kept, the engine cannot use the memory that it stands in for anything else.
func (t *Table) Retain() *Table {
	t.refs.Add(1)
	return t
}

// Release ends what Retain began. After the last one the table must not be used.
func (t *Table) Release() {
	if t.refs.Add(-1) == 0 {
		for _, batch := range t.batches {
			batch.Release()
		}
		t.batches = nil
	}
}

func (t *Table) index(name string) (int, error) {
	if found := t.schema.FieldIndices(name); len(found) > 0 {
		return found[0], nil
	}
	there := "no columns"
	if names := t.Names(); len(names) > 0 {
		there = "`" + strings.Join(names, "`, `") + "`"
	}
	return 0, fmt.Errorf("there is no column `%s`; the table has %s", name, there)
}

func (t *Table) emptyColumns() []arrow.Array {
	columns := make([]arrow.Array, t.schema.NumFields())
	for i, field := range t.schema.Fields() {
		builder := array.NewBuilder(memory.DefaultAllocator, field.Type)
		columns[i] = builder.NewArray()
		builder.Release()
	}
	return columns
}

// scope holds the tables that end with a call.
type scope struct {
	mutex  sync.Mutex
	tables []*Table
	closed bool
}

// add tells whether the call is still going on; else the table lives as long as somebody refers to it.
func (s *scope) add(table *Table) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !s.closed {
		s.tables = append(s.tables, table)
	}
	return !s.closed
}

func (s *scope) close() {
	s.mutex.Lock()
	tables := s.tables
	s.tables, s.closed = nil, true
	s.mutex.Unlock()
	for _, table := range tables {
		table.Release()
	}
}
