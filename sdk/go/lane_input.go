package heddle

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/segments"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

const rowNumberBytes = 8

// input is what a call was given: its table, or what was wrong with it. table is nil for a call without.
type input struct {
	table   *Table
	problem error
	scope   scope
	slices  []*inputSlice
	parts   int
}

// inputSlice is the part of shared memory that one batch stands in.
type inputSlice struct {
	start, end uintptr
	state      atomic.Int32
}

const (
	sliceInCall int32 = iota
	sliceReleased
	sliceKept
)

// input takes the call's batches up to the last. Its error ends the lane; a batch that cannot be read is the
// call's failure.
func (l *lane) input(call *wire.Call) (*input, error) {
	result := &input{}
	if !call.GetHasInput() {
		return result, nil
	}
	reading := inputReader{lane: l, input: result}
	if call.GetBatch() != nil {
		reading.add(call.GetBatch())
	}
	for ended := call.GetEnd(); !ended; {
		frame, err := l.next()
		if err != nil {
			reading.drop()
			return nil, err
		}
		switch kind := frame.GetKind().(type) {
		case *wire.EngineFrame_Batch:
			reading.add(kind.Batch)
		case *wire.EngineFrame_End:
			ended = true
		default:
			reading.drop()
			return nil, errLane
		}
	}
	if result.parts == 0 {
		result.problem = protocolError("the call has an input, but no batch was sent")
	}
	if result.problem != nil {
		reading.drop()
		return result, nil
	}
	result.table = newTable(&result.scope, reading.schema, reading.batches)
	return result, nil
}

type inputReader struct {
	lane    *lane
	input   *input
	schema  *arrow.Schema
	batches []arrow.RecordBatch
}

func (r *inputReader) add(batch *wire.Batch) {
	r.input.parts++
	if r.input.problem != nil {
		if slice := batch.GetSlice(); slice != nil {
			r.lane.noteReleased(slice.GetSegment().GetId())
		}
		return
	}
	data, err := r.data(batch)
	if err != nil {
		r.input.problem = protocolError("%s", err)
		return
	}
	defer data.Release()
	schema, batches, err := payload.Read(data)
	if err != nil {
		r.input.problem = protocolError("%s", err)
		return
	}
	r.batches = append(r.batches, batches...)
	if r.schema == nil {
		r.schema = schema
	}
	if len(batches) == 0 {
		r.input.problem = protocolError("a batch of the input holds no record batch")
	} else if !schema.Equal(r.schema) {
		r.input.problem = protocolError("the batches of the input have different columns: %s and %s",
			RowOfSchema(r.schema), RowOfSchema(schema))
	}
}

func (r *inputReader) data(batch *wire.Batch) (*memory.Buffer, error) {
	slice := batch.GetSlice()
	if slice == nil {
		return memory.NewBufferBytes(batch.GetInline()), nil
	}
	// The end of the slice must not refer to the reader, which refers to the slice.
	lane, id, size := r.lane, slice.GetSegment().GetId(), int64(slice.GetLength())
	state := &inputSlice{}
	ended := func() {
		if state.state.Swap(sliceReleased) == sliceKept {
			keptBytes.Add(-size)
		}
		lane.noteReleased(id)
	}
	data, err := lane.host.segments.Input(segmentOf(slice.GetSegment()), slice.GetOffset(), slice.GetLength(), ended)
	if err != nil {
		lane.noteReleased(id)
		return nil, err
	}
	state.start = uintptr(unsafe.Pointer(unsafe.SliceData(data.Bytes())))
	state.end = state.start + uintptr(size)
	r.input.slices = append(r.input.slices, state)
	return data, nil
}

func (r *inputReader) drop() {
	for _, batch := range r.batches {
		batch.Release()
	}
	r.batches = nil
}

func (i *input) rows() int {
	if i.table == nil {
		return 0
	}
	return i.table.NumRows()
}

// close ends what belongs to the call: memory that the step did not keep is released.
func (i *input) close() {
	i.scope.close()
	for _, slice := range i.slices {
		if slice.state.CompareAndSwap(sliceInCall, sliceKept) {
			collectWhenMuch(keptBytes.Add(int64(slice.end - slice.start)))
		}
	}
}

// giveUp releases an output that the step made itself of columns of its input.
func (i *input) giveUp(output *Table) {
	if output.scope == &i.scope || output.refs.Load() <= 0 {
		return
	}
	for _, batch := range output.batches {
		for _, column := range batch.Columns() {
			if i.holds(column.Data()) {
				output.Release()
				return
			}
		}
	}
}

func (i *input) holds(data arrow.ArrayData) bool {
	if len(i.slices) == 0 {
		return false
	}
	for _, buffer := range data.Buffers() {
		if buffer == nil || buffer.Len() == 0 {
			continue
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(buffer.Bytes())))
		for _, slice := range i.slices {
			if slice.start <= at && at < slice.end {
				return true
			}
		}
	}
	for _, child := range data.Children() {
		if i.holds(child) {
			return true
		}
	}
	return data.DataType().ID() == arrow.DICTIONARY && i.holds(data.Dictionary())
}

// keptBytes counts shared memory that is still referred to after its call. The garbage collector does not
// see its size, so it is asked to run when references that nobody released may hold much of it.
var (
	keptBytes     atomic.Int64
	lastCollected atomic.Int64
)

const (
	keptBytesMuch     = 256 << 20
	collectionPauseMs = 1000
)

func collectWhenMuch(kept int64) {
	last, now := lastCollected.Load(), time.Now().UnixMilli()
	if kept > keptBytesMuch && now-last > collectionPauseMs && lastCollected.CompareAndSwap(last, now) {
		go runtime.GC()
	}
}

func segmentOf(segment *wire.Segment) segments.Segment {
	return segments.Segment{ID: segment.GetId(), Path: segment.GetPath(), SizeBytes: segment.GetSizeBytes()}
}

func encodedRowNumbers(rows []int) []byte {
	result := make([]byte, 0, len(rows)*rowNumberBytes)
	for _, row := range rows {
		result = binary.LittleEndian.AppendUint64(result, uint64(row))
	}
	return result
}
