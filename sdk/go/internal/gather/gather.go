// Package gather copies arrays of any type: whole (Copy), or rows by number (Take). The results stand in
// memory of their own.
package gather

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take gives the rows of the array with the given numbers, in that order; a row may be taken more than
// once. The numbers must be rows of the array. Values that are reached by reference (a dictionary, the
// elements of list views and dense unions) are copied as a whole.
func Take(values arrow.Array, rows []int) arrow.Array {
	data := take(values.Data(), rows)
	defer data.Release()
	return array.MakeFromData(data)
}

// Copy gives an equal array in new memory.
func Copy(values arrow.Array) arrow.Array {
	data := copied(values.Data())
	defer data.Release()
	return array.MakeFromData(data)
}

func take(data arrow.ArrayData, rows []int) *array.Data {
	dtype := data.DataType()
	switch dt := dtype.(type) {
	case *arrow.NullType:
		return array.NewData(dt, len(rows), nil, nil, len(rows), 0)
	case arrow.ExtensionType:
		given := withType(data, dt.StorageType())
		defer given.Release()
		storage := take(given, rows)
		defer storage.Release()
		if dictionary := dictionaryOf(storage); dictionary != nil {
			return array.NewDataWithDictionary(dt, storage.Len(), storage.Buffers(), storage.NullN(), 0, dictionary)
		}
		return array.NewData(dt, storage.Len(), storage.Buffers(), storage.Children(), storage.NullN(), 0)
	case *arrow.DictionaryType:
		return takeDictionary(data, dt, rows)
	case *arrow.RunEndEncodedType:
		return takeRuns(data, dt, rows)
	case arrow.UnionType:
		return takeUnion(data, dt, rows)
	}
	validity, nulls := takeValidity(data, rows)
	buffers := []*memory.Buffer{validity}
	var children []arrow.ArrayData
	switch dt := dtype.(type) {
	case *arrow.BooleanType:
		buffers = append(buffers, takeBits(bytesOf(data.Buffers()[1]), data.Offset(), rows))
	case *arrow.BinaryType, *arrow.StringType:
		offsets, values := takeBinary[int32](data, rows)
		buffers = append(buffers, offsets, values)
	case *arrow.LargeBinaryType, *arrow.LargeStringType:
		offsets, values := takeBinary[int64](data, rows)
		buffers = append(buffers, offsets, values)
	case arrow.BinaryViewDataType:
		buffers = append(buffers, takeFixed(data, 1, arrow.ViewHeaderSizeBytes, rows))
		for _, values := range data.Buffers()[2:] {
			buffers = append(buffers, copyBuffer(values))
		}
	case *arrow.ListType, *arrow.MapType:
		offsets, elements := takeList[int32](data, rows)
		buffers, children = append(buffers, offsets), append(children, elements)
	case *arrow.LargeListType:
		offsets, elements := takeList[int64](data, rows)
		buffers, children = append(buffers, offsets), append(children, elements)
	case *arrow.ListViewType:
		buffers = append(buffers, takeFixed(data, 1, 4, rows), takeFixed(data, 2, 4, rows))
		children = append(children, copied(data.Children()[0]))
	case *arrow.LargeListViewType:
		buffers = append(buffers, takeFixed(data, 1, 8, rows), takeFixed(data, 2, 8, rows))
		children = append(children, copied(data.Children()[0]))
	case *arrow.FixedSizeListType:
		children = append(children, take(data.Children()[0], spread(rows, data.Offset(), int(dt.Len()))))
	case *arrow.StructType:
		shifted := spread(rows, data.Offset(), 1)
		for _, child := range data.Children() {
			children = append(children, take(child, shifted))
		}
	case arrow.FixedWidthDataType:
		buffers = append(buffers, takeFixed(data, 1, dt.Bytes(), rows))
	default:
		panic(fmt.Sprintf("columns of type %s cannot be gathered", dtype))
	}
	return array.NewData(dtype, len(rows), buffers, children, nulls, 0)
}

// dictionaryOf is nil where there is none; Data gives an interface that holds a nil pointer then.
func dictionaryOf(data arrow.ArrayData) *array.Data {
	dictionary, _ := data.Dictionary().(*array.Data)
	return dictionary
}

func withType(data arrow.ArrayData, dtype arrow.DataType) arrow.ArrayData {
	if dictionary := dictionaryOf(data); dictionary != nil {
		return array.NewDataWithDictionary(dtype, data.Len(), data.Buffers(), data.NullN(), data.Offset(), dictionary)
	}
	return array.NewData(dtype, data.Len(), data.Buffers(), data.Children(), data.NullN(), data.Offset())
}

// spread turns row numbers into those of a child with width elements for each row of its parent.
func spread(rows []int, offset, width int) []int {
	if offset == 0 && width == 1 {
		return rows
	}
	result := make([]int, 0, len(rows)*width)
	for _, row := range rows {
		for element := range width {
			result = append(result, (row+offset)*width+element)
		}
	}
	return result
}

func takeValidity(data arrow.ArrayData, rows []int) (validity *memory.Buffer, nulls int) {
	bitmap := bytesOf(data.Buffers()[0])
	if len(bitmap) == 0 || data.NullN() == 0 {
		return nil, 0
	}
	validity = takeBits(bitmap, data.Offset(), rows)
	valid := bitutil.CountSetBits(validity.Bytes(), 0, len(rows))
	return validity, len(rows) - valid
}

func takeBits(bitmap []byte, offset int, rows []int) *memory.Buffer {
	result := make([]byte, bitutil.BytesForBits(int64(len(rows))))
	for i, row := range rows {
		if bitutil.BitIsSet(bitmap, offset+row) {
			bitutil.SetBit(result, i)
		}
	}
	return memory.NewBufferBytes(result)
}

func takeFixed(data arrow.ArrayData, index, width int, rows []int) *memory.Buffer {
	values := bytesOf(data.Buffers()[index])
	result := make([]byte, 0, len(rows)*width)
	for _, row := range rows {
		at := (data.Offset() + row) * width
		result = append(result, values[at:at+width]...)
	}
	return memory.NewBufferBytes(result)
}

func takeDictionary(data arrow.ArrayData, dt *arrow.DictionaryType, rows []int) *array.Data {
	given := array.NewData(dt.IndexType, data.Len(), data.Buffers(), nil, data.NullN(), data.Offset())
	defer given.Release()
	indices := take(given, rows)
	defer indices.Release()
	dictionary := copied(dictionaryOf(data))
	defer dictionary.Release()
	return array.NewDataWithDictionary(dt, indices.Len(), indices.Buffers(), indices.NullN(), 0, dictionary)
}

func copied(data arrow.ArrayData) *array.Data {
	buffers := make([]*memory.Buffer, len(data.Buffers()))
	for i, buffer := range data.Buffers() {
		buffers[i] = copyBuffer(buffer)
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		children[i] = copied(child)
	}
	if dictionary := dictionaryOf(data); dictionary != nil {
		return array.NewDataWithDictionary(data.DataType(), data.Len(), buffers, data.NullN(), data.Offset(),
			copied(dictionary))
	}
	return array.NewData(data.DataType(), data.Len(), buffers, children, data.NullN(), data.Offset())
}

func copyBuffer(buffer *memory.Buffer) *memory.Buffer {
	if buffer == nil {
		return nil
	}
	return memory.NewBufferBytes(append(make([]byte, 0, buffer.Len()), buffer.Bytes()...))
}

func bytesOf(buffer *memory.Buffer) []byte {
	if buffer == nil {
		return nil
	}
	return buffer.Bytes()
}
