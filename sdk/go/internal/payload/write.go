package payload

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// Target takes a stream of unknown size: inline as long as it is small, else in memory that is asked for
// once, and where that is too small or absent it only counts.
type Target struct {
	// InlineMax is the largest stream that is kept inline.
	InlineMax int
	// Memory gives the place for a larger one; nil, or an empty place, means that there is none.
	Memory func() []byte

	inline []byte
	memory []byte
	asked  bool
	size   int
}

// Reset prepares the target for the next stream. The space for inline bytes is used again.
func (t *Target) Reset(inlineMax int, memory func() []byte) {
	*t = Target{InlineMax: inlineMax, Memory: memory, inline: t.inline[:0]}
}

// Size is the stream's size in bytes.
func (t *Target) Size() int { return t.size }

// Inline gives the stream when it was small enough. It is valid until the next Reset.
func (t *Target) Inline() ([]byte, bool) { return t.inline, t.size <= t.InlineMax }

// InMemory tells whether the whole stream stands at the start of the memory.
func (t *Target) InMemory() bool { return t.asked && t.size <= len(t.memory) }

// Write implements io.Writer. It never fails.
func (t *Target) Write(part []byte) (int, error) {
	at := t.size
	t.size += len(part)
	if t.size <= t.InlineMax {
		t.inline = append(t.inline, part...)
		return len(part), nil
	}
	if !t.asked {
		t.asked = true
		if t.Memory != nil {
			t.memory = t.Memory()
		}
		if at <= len(t.memory) {
			copy(t.memory, t.inline[:at])
		}
	}
	if t.size <= len(t.memory) {
		copy(t.memory[at:], part)
	}
	return len(part), nil
}

// Write encodes the batches as one stream. A schema without batches gives one batch without rows.
func Write(target *Target, schema *arrow.Schema, batches []arrow.RecordBatch) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("the table cannot be encoded: %v", problem)
		}
	}()
	writer := ipc.NewWriter(target, ipc.WithSchema(schema))
	for _, batch := range batches {
		if err := writer.Write(batch); err != nil {
			return fmt.Errorf("the table cannot be encoded: %w", err)
		}
	}
	if len(batches) == 0 {
		empty := noRows(schema)
		defer empty.Release()
		if err := writer.Write(empty); err != nil {
			return fmt.Errorf("the table cannot be encoded: %w", err)
		}
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("the table cannot be encoded: %w", err)
	}
	return nil
}

// Schema gives a stream that holds the schema and no batch.
func Schema(schema *arrow.Schema) ([]byte, error) {
	var target Target
	target.InlineMax = 1 << 30
	writer := ipc.NewWriter(&target, ipc.WithSchema(schema))
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("the schema cannot be encoded: %w", err)
	}
	return target.inline, nil
}

func noRows(schema *arrow.Schema) arrow.RecordBatch {
	builder := array.NewRecordBuilder(allocator, schema)
	defer builder.Release()
	return builder.NewRecordBatch()
}
