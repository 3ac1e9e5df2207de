package heddle

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// RowOf is the closed row type of a struct: a column for each exported field. The column's name is the
// field's in snake_case, or what the tag says: `heddle:"order_id"`; `heddle:"-"` leaves a field out.
//
//	int, int64 … uint64         int, and the Arrow type of that width
//	float64, float32            float, and float32
//	string, bool, []byte        string, bool, binary
//	time.Time, time.Duration    timestamp, duration
//	[]T, a struct, map[string]T list<T>, a struct, an Arrow map
//	*T                          T?
//
// A tag `type:"date"` names the type where Go's says less: date or time for a time.Time or time.Duration,
// decimal(p,s) for a decimal128.Num, json for a string. It panics where a field cannot be a column.
func RowOf[T any]() Row {
	structure := reflect.TypeFor[T]()
	if structure.Kind() != reflect.Struct {
		panic(fmt.Sprintf("a row type is made of a struct, not of %s", structure))
	}
	row := Row{}
	for _, field := range columnsOf(structure, 0) {
		row.Columns = append(row.Columns, field.column)
	}
	return row
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	decimalType  = reflect.TypeFor[decimal128.Num]()
	bytesType    = reflect.TypeFor[[]byte]()
)

type structColumn struct {
	column Column
	index  []int
}

func columnsOf(structure reflect.Type, depth int) []structColumn {
	if depth > typeDepthMax {
		panic(fmt.Sprintf("%s contains itself, so it cannot be a row type", structure))
	}
	var columns []structColumn
	for _, field := range reflect.VisibleFields(structure) {
		if field.Anonymous && field.Type.Kind() == reflect.Pointer {
			panic(fmt.Sprintf("%s embeds a pointer; embed %s itself", structure, field.Type.Elem()))
		}
		name, skip := fieldName(field)
		if skip {
			continue
		}
		dtype, nullable, err := columnType(field.Type, field.Tag.Get("type"), depth)
		if err != nil {
			panic(fmt.Sprintf("the field %s of %s cannot be a column: %s", field.Name, structure, err))
		}
		columns = append(columns, structColumn{Column{name, dtype, nullable}, field.Index})
	}
	return columns
}

// fieldName is the name of a column or a setting, by the field's tag or its own name.
func fieldName(field reflect.StructField) (name string, skip bool) {
	tag := field.Tag.Get("heddle")
	if !field.IsExported() || tag == "-" || (field.Anonymous && field.Type.Kind() == reflect.Struct) {
		return "", true
	}
	if tag != "" {
		return tag, false
	}
	return snakeCase(field.Name), false
}

// snakeCase keeps runs of capitals together: OrderID is order_id, HTTPPort is http_port.
func snakeCase(name string) string {
	runes := []rune(name)
	var result strings.Builder
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 {
			afterLower := !unicode.IsUpper(runes[i-1]) && runes[i-1] != '_'
			beforeLower := i+1 < len(runes) && unicode.IsLower(runes[i+1]) && runes[i-1] != '_'
			if afterLower || beforeLower {
				result.WriteByte('_')
			}
		}
		result.WriteRune(unicode.ToLower(c))
	}
	return result.String()
}

func columnType(of reflect.Type, named string, depth int) (dtype arrow.DataType, nullable bool, err error) {
	if of.Kind() == reflect.Pointer {
		of, nullable = of.Elem(), true
	}
	if named != "" {
		dtype, mark, err := ParseType(named)
		if err == nil && !carries(of, dtype) {
			err = fmt.Errorf("%s cannot hold a %s", of, named)
		}
		return dtype, nullable || mark, err
	}
	dtype, err = plainColumnType(of, depth)
	return dtype, nullable, err
}

// carries tells whether a Go type can hold the values of a type that a tag names.
func carries(of reflect.Type, dtype arrow.DataType) bool {
	switch dtype.ID() {
	case arrow.DATE32, arrow.TIMESTAMP:
		return of == timeType
	case arrow.TIME64, arrow.DURATION:
		return of == durationType
	case arrow.DECIMAL128:
		return of == decimalType
	}
	plain, err := plainColumnType(of, 0)
	return err == nil && arrow.TypeEqual(plain, dtype)
}

func plainColumnType(of reflect.Type, depth int) (arrow.DataType, error) {
	switch of {
	case timeType:
		return Timestamp, nil
	case durationType:
		return arrow.FixedWidthTypes.Duration_us, nil
	case bytesType:
		return arrow.BinaryTypes.Binary, nil
	case decimalType:
		return nil, fmt.Errorf("a decimal needs a tag such as `type:\"decimal(10,2)\"`")
	}
	switch of.Kind() {
	case reflect.Int, reflect.Int64:
		return arrow.PrimitiveTypes.Int64, nil
	case reflect.Int8:
		return arrow.PrimitiveTypes.Int8, nil
	case reflect.Int16:
		return arrow.PrimitiveTypes.Int16, nil
	case reflect.Int32:
		return arrow.PrimitiveTypes.Int32, nil
	case reflect.Uint, reflect.Uint64:
		return arrow.PrimitiveTypes.Uint64, nil
	case reflect.Uint8:
		return arrow.PrimitiveTypes.Uint8, nil
	case reflect.Uint16:
		return arrow.PrimitiveTypes.Uint16, nil
	case reflect.Uint32:
		return arrow.PrimitiveTypes.Uint32, nil
	case reflect.Float32:
		return arrow.PrimitiveTypes.Float32, nil
	case reflect.Float64:
		return arrow.PrimitiveTypes.Float64, nil
	case reflect.String:
		return arrow.BinaryTypes.String, nil
	case reflect.Bool:
		return arrow.FixedWidthTypes.Boolean, nil
	case reflect.Slice:
		item, nullable, err := columnType(of.Elem(), "", depth)
		if err != nil {
			return nil, err
		}
		return arrow.ListOfField(arrow.Field{Name: "item", Type: item, Nullable: nullable}), nil
	case reflect.Map:
		return mapColumnType(of, depth)
	case reflect.Struct:
		fields := []arrow.Field{}
		for _, field := range columnsOf(of, depth+1) {
			fields = append(fields, arrow.Field{
				Name: field.column.Name, Type: field.column.Type, Nullable: field.column.Nullable,
			})
		}
		return arrow.StructOf(fields...), nil
	}
	return nil, fmt.Errorf("there is no column type for %s", of)
}

func mapColumnType(of reflect.Type, depth int) (arrow.DataType, error) {
	if of.Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a map column has strings as its keys, not %s", of.Key())
	}
	item, nullable, err := columnType(of.Elem(), "", depth)
	if err != nil {
		return nil, err
	}
	dtype := arrow.MapOf(arrow.BinaryTypes.String, item)
	dtype.SetItemNullable(nullable)
	return dtype, nil
}
