package heddle

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// appendValue adds a Go value to a builder of its column type (columnType).
func appendValue(builder array.Builder, value reflect.Value) {
	if value.Kind() == reflect.Pointer {
		if value.IsNil() {
			builder.AppendNull()
			return
		}
		value = value.Elem()
	}
	switch b := builder.(type) {
	case *array.Int64Builder:
		b.Append(value.Int())
	case *array.Int32Builder:
		b.Append(int32(value.Int()))
	case *array.Int16Builder:
		b.Append(int16(value.Int()))
	case *array.Int8Builder:
		b.Append(int8(value.Int()))
	case *array.Uint64Builder:
		b.Append(value.Uint())
	case *array.Uint32Builder:
		b.Append(uint32(value.Uint()))
	case *array.Uint16Builder:
		b.Append(uint16(value.Uint()))
	case *array.Uint8Builder:
		b.Append(uint8(value.Uint()))
	case *array.Float64Builder:
		b.Append(value.Float())
	case *array.Float32Builder:
		b.Append(float32(value.Float()))
	case *array.StringBuilder:
		b.Append(value.String())
	case *array.BooleanBuilder:
		b.Append(value.Bool())
	case *array.BinaryBuilder:
		b.Append(value.Bytes())
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(value.Interface().(time.Time).UnixMicro()))
	case *array.Date32Builder:
		b.Append(arrow.Date32FromTime(value.Interface().(time.Time)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(value.Interface().(time.Duration).Microseconds()))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(value.Interface().(time.Duration).Microseconds()))
	case *array.Decimal128Builder:
		b.Append(value.Interface().(decimal128.Num))
	case *array.ListBuilder:
		b.Append(true)
		for i := range value.Len() {
			appendValue(b.ValueBuilder(), value.Index(i))
		}
	case *array.MapBuilder:
		b.Append(true)
		for entries := value.MapRange(); entries.Next(); {
			appendValue(b.KeyBuilder(), entries.Key())
			appendValue(b.ItemBuilder(), entries.Value())
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, field := range columnsOf(value.Type(), 0) {
			appendValue(b.FieldBuilder(i), value.FieldByIndex(field.index))
		}
	default:
		panic(fmt.Sprintf("there is no column builder for %s", value.Type()))
	}
}

var errNull = errors.New("it holds a null, which only a pointer can take")

// readValue copies a value of an array that is readable as the target's column type.
func readValue(column arrow.Array, row int, target reflect.Value) error {
	if column.IsNull(row) {
		if target.Kind() != reflect.Pointer {
			return errNull
		}
		target.SetZero()
		return nil
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	switch a := column.(type) {
	case *array.Int64:
		target.SetInt(a.Value(row))
	case *array.Int32:
		target.SetInt(int64(a.Value(row)))
	case *array.Int16:
		target.SetInt(int64(a.Value(row)))
	case *array.Int8:
		target.SetInt(int64(a.Value(row)))
	case *array.Uint64:
		target.SetUint(a.Value(row))
	case *array.Uint32:
		target.SetUint(uint64(a.Value(row)))
	case *array.Uint16:
		target.SetUint(uint64(a.Value(row)))
	case *array.Uint8:
		target.SetUint(uint64(a.Value(row)))
	case *array.Float64:
		target.SetFloat(a.Value(row))
	case *array.Float32:
		target.SetFloat(float64(a.Value(row)))
	case array.StringLike:
		target.SetString(strings.Clone(a.Value(row)))
	case *array.Boolean:
		target.SetBool(a.Value(row))
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		target.Set(reflect.ValueOf(a.Value(row).ToTime(unit)))
	case *array.Date32:
		target.Set(reflect.ValueOf(a.Value(row).ToTime()))
	case *array.Time64:
		target.SetInt(int64(time.Duration(a.Value(row)) * a.DataType().(*arrow.Time64Type).Unit.Multiplier()))
	case *array.Duration:
		target.SetInt(int64(time.Duration(a.Value(row)) * a.DataType().(*arrow.DurationType).Unit.Multiplier()))
	case *array.Decimal128:
		target.Set(reflect.ValueOf(a.Value(row)))
	case array.BinaryLike:
		target.SetBytes(append([]byte{}, binaryValue(a, row)...))
	default:
		return readNested(column, row, target)
	}
	return nil
}

func binaryValue(column arrow.Array, row int) []byte {
	switch a := column.(type) {
	case *array.Binary:
		return a.Value(row)
	case *array.LargeBinary:
		return a.Value(row)
	case *array.BinaryView:
		return a.Value(row)
	}
	panic(fmt.Sprintf("%s is not a column of bytes", column.DataType()))
}

func readNested(column arrow.Array, row int, target reflect.Value) error {
	switch a := column.(type) {
	case *array.Map:
		start, end := a.ValueOffsets(row)
		entries := reflect.MakeMapWithSize(target.Type(), int(end-start))
		for i := int(start); i < int(end); i++ {
			key, value := reflect.New(target.Type().Key()).Elem(), reflect.New(target.Type().Elem()).Elem()
			if err := readValue(a.Keys(), i, key); err != nil {
				return err
			}
			if err := readValue(a.Items(), i, value); err != nil {
				return err
			}
			entries.SetMapIndex(key, value)
		}
		target.Set(entries)
	case array.ListLike:
		start, end := a.ValueOffsets(row)
		items := reflect.MakeSlice(target.Type(), int(end-start), int(end-start))
		for i := range items.Len() {
			if err := readValue(a.ListValues(), int(start)+i, items.Index(i)); err != nil {
				return err
			}
		}
		target.Set(items)
	case *array.Struct:
		for i, field := range columnsOf(target.Type(), 0) {
			if err := readValue(a.Field(i), row, target.FieldByIndex(field.index)); err != nil {
				return fmt.Errorf("field `%s`: %w", field.column.Name, err)
			}
		}
	default:
		return fmt.Errorf("%s cannot be read into %s", column.DataType(), target.Type())
	}
	return nil
}

// readable tells whether values of a column's type can be read into the Go type whose column type is wanted.
func readable(found, wanted arrow.DataType) bool {
	if arrow.TypeEqual(found, wanted) || kindOf(found) != "" && kindOf(found) == kindOf(wanted) {
		return true
	}
	switch w := wanted.(type) {
	case *arrow.Decimal128Type:
		return found.ID() == arrow.DECIMAL128 && found.(*arrow.Decimal128Type).Scale == w.Scale
	case *arrow.MapType:
		f, ok := found.(*arrow.MapType)
		return ok && readable(f.KeyType(), w.KeyType()) && readable(f.ItemType(), w.ItemType())
	case *arrow.ListType:
		f, ok := found.(arrow.ListLikeType)
		return ok && found.ID() != arrow.MAP && readable(f.Elem(), w.Elem())
	case *arrow.StructType:
		f, ok := found.(*arrow.StructType)
		if !ok || f.NumFields() != w.NumFields() {
			return false
		}
		for i, field := range w.Fields() {
			if f.Field(i).Name != field.Name || !readable(f.Field(i).Type, field.Type) {
				return false
			}
		}
		return true
	}
	return false
}

// kindOf groups the types that are read alike.
func kindOf(dtype arrow.DataType) string {
	switch dtype.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		return "string"
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW:
		return "binary"
	case arrow.TIMESTAMP:
		return "timestamp"
	case arrow.DURATION:
		return "duration"
	}
	return ""
}
