package heddle

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"
)

// Timestamp is the Arrow type of Heddle's timestamp: microseconds in UTC.
var Timestamp arrow.DataType = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

var scalarTypes = map[string]arrow.DataType{
	"int":       arrow.PrimitiveTypes.Int64,
	"float":     arrow.PrimitiveTypes.Float64,
	"string":    arrow.BinaryTypes.String,
	"bool":      arrow.FixedWidthTypes.Boolean,
	"timestamp": Timestamp,
	"date":      arrow.PrimitiveTypes.Date32,
	"time":      arrow.FixedWidthTypes.Time64us,
	"duration":  arrow.FixedWidthTypes.Duration_us,
	"binary":    arrow.BinaryTypes.Binary,
	"json":      arrow.BinaryTypes.String,
}

// ParseType reads Heddle's name of a column type: int, float, string, bool, timestamp, date, time,
// duration, binary, json, decimal(p,s), list<T>, {field: T, …}; a `?` at its end marks it as nullable.
func ParseType(text string) (dtype arrow.DataType, nullable bool, err error) {
	reader := typeReader{text: text}
	dtype, nullable, err = reader.dtype(0)
	if err == nil {
		err = reader.end()
	}
	if err != nil {
		return nil, false, fmt.Errorf("%q is not a type: %w", text, err)
	}
	return dtype, nullable, nil
}

// TypeName is Heddle's name of an Arrow type, or Arrow's own where Heddle has none.
func TypeName(dtype arrow.DataType, nullable bool) string {
	mark := ""
	if nullable {
		mark = "?"
	}
	if dtype == nil {
		return "unknown"
	}
	for _, name := range []string{"int", "float", "string", "bool", "timestamp", "date", "time", "duration", "binary"} {
		if arrow.TypeEqual(dtype, scalarTypes[name]) {
			return name + mark
		}
	}
	switch dt := dtype.(type) {
	case arrow.DecimalType:
		return fmt.Sprintf("decimal(%d,%d)%s", dt.GetPrecision(), dt.GetScale(), mark)
	case *arrow.ListType:
		return fmt.Sprintf("list<%s>%s", TypeName(dt.Elem(), dt.ElemField().Nullable), mark)
	case *arrow.StructType:
		parts := make([]string, dt.NumFields())
		for i, field := range dt.Fields() {
			parts[i] = field.Name + ": " + TypeName(field.Type, field.Nullable)
		}
		return "{" + strings.Join(parts, ", ") + "}" + mark
	}
	return dtype.String() + mark
}

const typeDepthMax = 32

type typeReader struct {
	text string
	at   int
}

func (r *typeReader) dtype(depth int) (dtype arrow.DataType, nullable bool, err error) {
	if depth >= typeDepthMax {
		return nil, false, fmt.Errorf("a type nests at most %d levels", typeDepthMax)
	}
	if r.take("{") {
		dtype, err = r.structure(depth)
	} else {
		dtype, err = r.named(depth)
	}
	if err != nil {
		return nil, false, err
	}
	return dtype, r.take("?"), nil
}

func (r *typeReader) named(depth int) (arrow.DataType, error) {
	name := r.word()
	switch name {
	case "list":
		if err := r.expect("<"); err != nil {
			return nil, err
		}
		item, nullable, err := r.dtype(depth + 1)
		if err != nil {
			return nil, err
		}
		return arrow.ListOfField(arrow.Field{Name: "item", Type: item, Nullable: nullable}), r.expect(">")
	case "decimal":
		return r.decimal()
	}
	if dtype, ok := scalarTypes[name]; ok {
		return dtype, nil
	}
	if name == "" {
		name = r.text[r.at:]
	}
	return nil, fmt.Errorf("there is no type `%s`; there are int, float, string, bool, timestamp, date, time, "+
		"duration, binary, json, decimal(p,s), list<T> and {field: T}", name)
}

func (r *typeReader) decimal() (arrow.DataType, error) {
	var digits [2]int
	for i, mark := range []string{"(", ","} {
		if err := r.expect(mark); err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(r.word())
		if err != nil {
			return nil, fmt.Errorf("a whole number is missing at %d", r.at)
		}
		digits[i] = number
	}
	precision, scale := digits[0], digits[1]
	if precision < 1 || precision > 76 || scale < 0 || scale > precision {
		return nil, fmt.Errorf("a decimal has 1 to 76 digits, and no more of them after the point")
	}
	if precision <= 38 {
		return &arrow.Decimal128Type{Precision: int32(precision), Scale: int32(scale)}, r.expect(")")
	}
	return &arrow.Decimal256Type{Precision: int32(precision), Scale: int32(scale)}, r.expect(")")
}

func (r *typeReader) structure(depth int) (arrow.DataType, error) {
	fields, _, err := r.fields(depth)
	if err != nil {
		return nil, err
	}
	return arrow.StructOf(fields...), nil
}

// fields reads up to and with the closing brace; open is whether `..` stood before it.
func (r *typeReader) fields(depth int) (fields []arrow.Field, open bool, err error) {
	for !r.take("}") {
		if depth < 0 && r.take("..") {
			return fields, true, r.expect("}")
		}
		name := r.word()
		if name == "" {
			return nil, false, fmt.Errorf("a name is missing at %d", r.at)
		}
		if err := r.expect(":"); err != nil {
			return nil, false, err
		}
		dtype, nullable, err := r.dtype(depth + 1)
		if err != nil {
			return nil, false, err
		}
		fields = append(fields, arrow.Field{Name: name, Type: dtype, Nullable: nullable})
		if !r.take(",") {
			return fields, false, r.expect("}")
		}
	}
	return fields, false, nil
}

func (r *typeReader) end() error {
	r.space()
	if r.at < len(r.text) {
		return fmt.Errorf("`%s` is left over", r.text[r.at:])
	}
	return nil
}

func (r *typeReader) space() {
	r.at = len(r.text) - len(strings.TrimLeftFunc(r.text[r.at:], unicode.IsSpace))
}

func (r *typeReader) take(mark string) bool {
	r.space()
	if strings.HasPrefix(r.text[r.at:], mark) {
		r.at += len(mark)
		return true
	}
	return false
}

func (r *typeReader) expect(mark string) error {
	if !r.take(mark) {
		return fmt.Errorf("`%s` is missing at %d", mark, r.at)
	}
	return nil
}

func (r *typeReader) word() string {
	r.space()
	start := r.at
	for i, c := range r.text[start:] {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '_' && c != '-' {
			break
		}
		r.at = start + i + len(string(c))
	}
	return r.text[start:r.at]
}
