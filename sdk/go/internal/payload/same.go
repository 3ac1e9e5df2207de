package payload

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

var allocator = memory.NewGoAllocator()

// Same tells whether two arrays show the same values of the same memory.
func Same(a, b arrow.ArrayData) bool {
	if a == b {
		return true
	}
	if a.Len() != b.Len() || a.Offset() != b.Offset() || !arrow.TypeEqual(a.DataType(), b.DataType()) {
		return false
	}
	if len(a.Buffers()) != len(b.Buffers()) || len(a.Children()) != len(b.Children()) {
		return false
	}
	for i, buffer := range a.Buffers() {
		if address(buffer) != address(b.Buffers()[i]) {
			return false
		}
	}
	for i, child := range a.Children() {
		if !Same(child, b.Children()[i]) {
			return false
		}
	}
	if a.DataType().ID() == arrow.DICTIONARY {
		return Same(a.Dictionary(), b.Dictionary())
	}
	return true
}

func address(buffer *memory.Buffer) uintptr {
	if buffer == nil || buffer.Len() == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(buffer.Bytes())))
}
