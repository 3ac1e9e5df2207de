package heddle

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

const columnNumberBytes = 6

// sendTable sends a table as one batch, or as several where no shared memory is left. Columns that are those
// of the call's input, untouched, stay where they are; input is nil when there are none to look at.
func (l *lane) sendTable(table *Table, input *input) error {
	schema, batches := table.Schema(), table.Batches()
	columns := untouched(table, input)
	if len(columns) > 0 {
		schema, batches = withoutUntouched(table, columns)
		defer releaseAll(batches)
	}
	granted, done := l.grantedMemory()
	defer done()
	l.target.Reset(l.inlineMax-columnNumberBytes*len(columns), granted)
	if err := payload.Write(&l.target, schema, batches); err != nil {
		return err
	}
	if inline, ok := l.target.Inline(); ok {
		return l.sendBatch(&wire.Batch{Place: &wire.Batch_Inline{Inline: inline}, Columns: columns})
	}
	if l.target.InMemory() {
		segment := l.grant
		l.grant = nil
		return l.sendSlice(segment, columns)
	}
	segment, err := l.need(l.target.Size())
	if err != nil {
		return err
	}
	if segment == nil {
		return l.sendInParts(table, schema, batches, columns)
	}
	memory, release, err := l.host.segments.Output(segmentOf(segment))
	if err != nil {
		return protocolError("%s", err)
	}
	defer release()
	l.target.Reset(-1, func() []byte { return memory })
	if err := payload.Write(&l.target, schema, batches); err != nil {
		return err
	}
	if !l.target.InMemory() {
		return protocolError("a segment of %d bytes was granted where %d are needed", len(memory), l.target.Size())
	}
	return l.sendSlice(segment, columns)
}

// grantedMemory maps the segment that came with the call, when it is wanted. A segment that cannot be mapped
// is as good as none.
func (l *lane) grantedMemory() (memory func() []byte, done func()) {
	release := func() {}
	memory = func() []byte {
		if l.grant == nil {
			return nil
		}
		bytes, end, err := l.host.segments.Output(segmentOf(l.grant))
		if err != nil {
			return nil
		}
		release = end
		return bytes
	}
	return memory, func() { release() }
}

// need asks for a segment; nil when there is none to be had.
func (l *lane) need(size int) (*wire.Segment, error) {
	frame := &wire.PluginFrame{Kind: &wire.PluginFrame_Need{Need: &wire.Need{SizeBytes: uint64(size)}}}
	if err := l.send(frame); err != nil {
		return nil, err
	}
	answer, err := l.next()
	if err != nil {
		return nil, err
	}
	if answer.GetGrant() == nil {
		return nil, errLane
	}
	return answer.GetGrant().GetSegment(), nil
}

func (l *lane) sendSlice(segment *wire.Segment, columns []int32) error {
	slice := &wire.Slice{Segment: segment, Length: uint64(l.target.Size())}
	return l.sendBatch(&wire.Batch{Place: &wire.Batch_Slice{Slice: slice}, Columns: columns})
}

func (l *lane) sendBatch(batch *wire.Batch) error {
	return l.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Batch{Batch: batch}})
}

// sendInParts sends inline what found no shared memory: at once where a frame can hold it, else all columns
// of the table in batches that fit.
func (l *lane) sendInParts(
	table *Table, schema *arrow.Schema, batches []arrow.RecordBatch, columns []int32,
) error {
	limit := l.frameMax - frameRoomBytes - columnNumberBytes*len(columns)
	if l.target.Size() <= limit {
		l.target.Reset(limit, nil)
		if err := payload.Write(&l.target, schema, batches); err != nil {
			return err
		}
		inline, _ := l.target.Inline()
		return l.sendBatch(&wire.Batch{Place: &wire.Batch_Inline{Inline: inline}, Columns: columns})
	}
	for _, batch := range table.Batches() {
		if err := l.sendPart(batch); err != nil {
			return err
		}
	}
	return nil
}

// sendPart sends a record batch inline, cut in as many parts as are needed.
func (l *lane) sendPart(batch arrow.RecordBatch) error {
	limit := l.frameMax - frameRoomBytes
	l.target.Reset(limit, nil)
	if err := payload.Write(&l.target, batch.Schema(), []arrow.RecordBatch{batch}); err != nil {
		return err
	}
	if inline, ok := l.target.Inline(); ok {
		return l.sendBatch(&wire.Batch{Place: &wire.Batch_Inline{Inline: inline}})
	}
	rows := batch.NumRows()
	if rows < 2 {
		return fmt.Errorf("a row of %d bytes does not fit into a frame of %d bytes, and no shared memory is left; "+
			"raise the memory limit, or return smaller values", l.target.Size(), l.frameMax)
	}
	parts := min(rows, int64(l.target.Size()/limit)+1)
	step := (rows + parts - 1) / parts
	for start := int64(0); start < rows; start += step {
		part := batch.NewSlice(start, min(start+step, rows))
		err := l.sendPart(part)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// untouched tells for each output column where it comes from, in the numbers of Batch.columns; nil when none
// is one of the input.
func untouched(output *Table, input *input) []int32 {
	if input == nil || input.table == nil || input.parts != 1 || input.table.rows != output.rows {
		return nil
	}
	given := input.table
	if len(given.batches) != len(output.batches) {
		return nil
	}
	columns := make([]int32, output.schema.NumFields())
	sent := int32(0)
	for i, field := range output.schema.Fields() {
		place := placeOf(given, output, field, i)
		if place < 0 {
			columns[i] = sent
			sent++
		} else {
			columns[i] = int32(-1 - place)
		}
	}
	if int(sent) == len(columns) {
		return nil
	}
	return columns
}

func placeOf(given, output *Table, field arrow.Field, column int) int {
	for _, place := range given.schema.FieldIndices(field.Name) {
		if !given.schema.Field(place).Equal(field) {
			continue
		}
		same := true
		for i, batch := range output.batches {
			same = same && payload.Same(batch.Column(column).Data(), given.batches[i].Column(place).Data())
		}
		if same {
			return place
		}
	}
	return -1
}

// withoutUntouched gives the columns that must be sent; one batch of the output's rows where there are none.
func withoutUntouched(output *Table, columns []int32) (*arrow.Schema, []arrow.RecordBatch) {
	var fields []arrow.Field
	for i, field := range output.schema.Fields() {
		if columns[i] >= 0 {
			fields = append(fields, field)
		}
	}
	schema := arrow.NewSchema(fields, nil)
	if len(fields) == 0 {
		return schema, []arrow.RecordBatch{array.NewRecordBatch(schema, nil, output.rows)}
	}
	batches := make([]arrow.RecordBatch, len(output.batches))
	for i, batch := range output.batches {
		var sent []arrow.Array
		for at, column := range batch.Columns() {
			if columns[at] >= 0 {
				sent = append(sent, column)
			}
		}
		batches[i] = array.NewRecordBatch(schema, sent, batch.NumRows())
	}
	return schema, batches
}

func releaseAll(batches []arrow.RecordBatch) {
	for _, batch := range batches {
		batch.Release()
	}
}
