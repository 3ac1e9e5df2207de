package gather

import (
	"sort"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

type offset interface{ ~int32 | ~int64 }

func takeBinary[O offset](data arrow.ArrayData, rows []int) (offsets, values *memory.Buffer) {
	from := offsetsOf[O](data)
	content := bytesOf(data.Buffers()[2])
	to := make([]O, len(rows)+1)
	size := 0
	for i, row := range rows {
		size += int(from[row+1] - from[row])
		to[i+1] = narrowed[O](size)
	}
	result := make([]byte, 0, size)
	for _, row := range rows {
		result = append(result, content[from[row]:from[row+1]]...)
	}
	return memory.NewBufferBytes(asBytes(to)), memory.NewBufferBytes(result)
}

func takeList[O offset](data arrow.ArrayData, rows []int) (offsets *memory.Buffer, elements arrow.ArrayData) {
	from := offsetsOf[O](data)
	to := make([]O, len(rows)+1)
	size := 0
	for i, row := range rows {
		size += int(from[row+1] - from[row])
		to[i+1] = narrowed[O](size)
	}
	numbers := make([]int, 0, size)
	for _, row := range rows {
		for element := from[row]; element < from[row+1]; element++ {
			numbers = append(numbers, int(element))
		}
	}
	return memory.NewBufferBytes(asBytes(to)), take(data.Children()[0], numbers)
}

func takeUnion(data arrow.ArrayData, dt arrow.UnionType, rows []int) *array.Data {
	codes := takeFixed(data, 1, 1, rows)
	buffers := []*memory.Buffer{nil, codes}
	children := make([]arrow.ArrayData, len(data.Children()))
	if dt.Mode() == arrow.DenseMode {
		buffers = append(buffers, takeFixed(data, 2, arrow.Int32SizeBytes, rows))
		for i, child := range data.Children() {
			children[i] = copied(child)
		}
	} else {
		shifted := spread(rows, data.Offset(), 1)
		for i, child := range data.Children() {
			children[i] = take(child, shifted)
		}
	}
	return array.NewData(dt, len(rows), buffers, children, 0, 0)
}

// takeRuns gives a run for each stretch of rows that come from one run.
func takeRuns(data arrow.ArrayData, dt *arrow.RunEndEncodedType, rows []int) *array.Data {
	ends := runEnds(data.Children()[0])
	var runs, lengths []int
	for _, row := range rows {
		wanted := row + data.Offset()
		run := sort.Search(len(ends), func(i int) bool { return ends[i] > wanted })
		if last := len(runs) - 1; last >= 0 && runs[last] == run {
			lengths[last]++
		} else {
			runs, lengths = append(runs, run), append(lengths, 1)
		}
	}
	total := 0
	for i, length := range lengths {
		total += length
		lengths[i] = total
	}
	values := take(data.Children()[1], runs)
	defer values.Release()
	to := runEndsData(dt.RunEnds(), lengths)
	defer to.Release()
	return array.NewData(dt, len(rows), []*memory.Buffer{nil}, []arrow.ArrayData{to, values}, 0, 0)
}

func runEnds(data arrow.ArrayData) []int {
	result := make([]int, data.Len())
	values := array.MakeFromData(data)
	defer values.Release()
	switch ends := values.(type) {
	case *array.Int16:
		for i := range result {
			result[i] = int(ends.Value(i))
		}
	case *array.Int32:
		for i := range result {
			result[i] = int(ends.Value(i))
		}
	case *array.Int64:
		for i := range result {
			result[i] = int(ends.Value(i))
		}
	}
	return result
}

func runEndsData(dtype arrow.DataType, ends []int) *array.Data {
	var content []byte
	switch dtype.ID() {
	case arrow.INT16:
		content = asBytes(converted[int16](ends))
	case arrow.INT32:
		content = asBytes(converted[int32](ends))
	default:
		content = asBytes(converted[int64](ends))
	}
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(content)}
	return array.NewData(dtype, len(ends), buffers, nil, 0, 0)
}

func offsetsOf[O offset](data arrow.ArrayData) []O {
	if data.Len() == 0 {
		return nil
	}
	content := bytesOf(data.Buffers()[1])
	all := unsafe.Slice((*O)(unsafe.Pointer(unsafe.SliceData(content))), len(content)/int(unsafe.Sizeof(O(0))))
	return all[data.Offset() : data.Offset()+data.Len()+1]
}

func narrowed[O offset](size int) O {
	if int(O(size)) != size {
		panic("the taken rows are larger than a column of this type can be; take fewer at once")
	}
	return O(size)
}

func converted[T int16 | int32 | int64](numbers []int) []T {
	result := make([]T, len(numbers))
	for i, number := range numbers {
		result[i] = T(number)
		if int(result[i]) != number {
			panic("the taken rows are more than the run ends of this column can count; take fewer at once")
		}
	}
	return result
}

func asBytes[T int16 | int32 | int64 | offset](numbers []T) []byte {
	if len(numbers) == 0 {
		return nil
	}
	size := len(numbers) * int(unsafe.Sizeof(numbers[0]))
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(numbers))), size)
}
