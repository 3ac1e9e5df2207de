package heddle

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// Column is a named column of a row type. Type is nil where a step does not fix it.
type Column struct {
	Name     string
	Type     arrow.DataType
	Nullable bool
}

// Row is a row type: a table's columns in order. In an open one there may be other columns beside those
// that it names.
type Row struct {
	Columns []Column
	Open    bool
}

// AnyRow is the open row that names no column.
func AnyRow() Row { return Row{Open: true} }

// AndOthers is the row with other columns allowed beside its own: RowOf[Payment]().AndOthers() is {amount: float, ..}.
func (r Row) AndOthers() Row { return Row{Columns: r.Columns, Open: true} }

// RowOfSchema is the closed row with the columns of an Arrow schema.
func RowOfSchema(schema *arrow.Schema) Row {
	row := Row{}
	for _, field := range schema.Fields() {
		row.Columns = append(row.Columns, Column{field.Name, field.Type, field.Nullable})
	}
	return row
}

// ParseRow reads a row type in Heddle's notation: "{amount: float, note: string?, ..}".
func ParseRow(text string) (Row, error) {
	reader := typeReader{text: text}
	if err := reader.expect("{"); err != nil {
		return Row{}, fmt.Errorf("%q is not a row type: %w", text, err)
	}
	fields, open, err := reader.fields(-1)
	if err == nil {
		err = reader.end()
	}
	if err != nil {
		return Row{}, fmt.Errorf("%q is not a row type: %w", text, err)
	}
	row := Row{Open: open}
	for _, field := range fields {
		row.Columns = append(row.Columns, Column{field.Name, field.Type, field.Nullable})
	}
	return row, nil
}

// MustParseRow is ParseRow for texts that stand in the plugin's code. It panics where the text is wrong.
func MustParseRow(text string) Row {
	row, err := ParseRow(text)
	if err != nil {
		panic(err)
	}
	return row
}

// Schema is the Arrow schema of the named columns. A column without a fixed type has the type null.
func (r Row) Schema() *arrow.Schema {
	fields := make([]arrow.Field, len(r.Columns))
	for i, column := range r.Columns {
		fields[i] = arrow.Field{Name: column.Name, Type: column.Type, Nullable: column.Nullable}
		if column.Type == nil {
			fields[i] = arrow.Field{Name: column.Name, Type: arrow.Null, Nullable: true, Metadata: unknownType}
		}
	}
	return arrow.NewSchema(fields, nil)
}

// String is the row in Heddle's notation.
func (r Row) String() string {
	parts := make([]string, 0, len(r.Columns)+1)
	for _, column := range r.Columns {
		parts = append(parts, column.Name+": "+TypeName(column.Type, column.Nullable))
	}
	if r.Open {
		parts = append(parts, "..")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

const unknownKey, unknownValue = "heddle.type", "unknown"

var unknownType = arrow.NewMetadata([]string{unknownKey}, []string{unknownValue})

func (r Row) encoded() (*wire.Row, error) {
	schema, err := payload.Schema(r.Schema())
	if err != nil {
		return nil, err
	}
	return &wire.Row{Schema: schema, Open: r.Open}, nil
}

func decodedRow(row *wire.Row) (Row, error) {
	if row == nil {
		return AnyRow(), nil
	}
	schema, err := payload.ReadSchema(row.GetSchema())
	if err != nil {
		return Row{}, err
	}
	result := RowOfSchema(schema)
	result.Open = row.GetOpen()
	for i, field := range schema.Fields() {
		if value, ok := field.Metadata.GetValue(unknownKey); ok && value == unknownValue {
			result.Columns[i].Type = nil
		}
	}
	return result, nil
}
