package payload

import (
	"errors"

	flatbuffers "github.com/google/flatbuffers/go"
)

// The places of the fields of Arrow's flatbuffers tables (Message.fbs, Schema.fbs) in their vtables.
const (
	messageHeaderType = 6
	messageHeader     = 8
	schemaFields      = 6
	schemaMetadata    = 8
	fieldChildren     = 14
	fieldMetadata     = 16
	batchNodes        = 6
	batchBuffers      = 8
	batchVariadic     = 12
	dictionaryData    = 6

	headerSchema     = 1
	headerDictionary = 2
	headerBatch      = 3

	nodeBytes   = 16
	bufferBytes = 16
	countBytes  = 8
	offsetBytes = 4
	depthMax    = 64
)

var errDamaged = errors.New("a message's metadata is damaged")

// verify holds the lengths in a message's metadata to its size, so that nothing is allocated by a damaged
// one. Reading outside of the metadata panics.
func verify(metadata []byte) error {
	message := table(metadata, int(flatbuffers.GetUOffsetT(metadata)))
	kind := message.field(messageHeaderType)
	header := message.field(messageHeader)
	if kind == 0 || header == 0 {
		return errDamaged
	}
	inner := message.at(header)
	switch message.GetByte(kind) {
	case headerSchema:
		return inner.verifySchema()
	case headerBatch:
		return inner.verifyBatch()
	case headerDictionary:
		if data := inner.field(dictionaryData); data != 0 {
			return inner.at(data).verifyBatch()
		}
	}
	return errDamaged
}

type fbTable struct{ flatbuffers.Table }

func table(metadata []byte, position int) fbTable {
	return fbTable{flatbuffers.Table{Bytes: metadata, Pos: flatbuffers.UOffsetT(position)}}
}

// field is the position of a field, 0 when it is absent.
func (t fbTable) field(place flatbuffers.VOffsetT) flatbuffers.UOffsetT {
	if offset := t.Offset(place); offset != 0 {
		return t.Pos + flatbuffers.UOffsetT(offset)
	}
	return 0
}

// at is the table that a position refers to.
func (t fbTable) at(position flatbuffers.UOffsetT) fbTable {
	return table(t.Bytes, int(t.Indirect(position)))
}

// vector is the start and the length of a vector, whose elements must lie inside of the metadata.
func (t fbTable) vector(place flatbuffers.VOffsetT, elementBytes int) (start, length int, err error) {
	offset := t.Offset(place)
	if offset == 0 {
		return 0, 0, nil
	}
	start = int(t.Vector(flatbuffers.UOffsetT(offset)))
	length = t.VectorLen(flatbuffers.UOffsetT(offset))
	if length < 0 || start < 0 || start > len(t.Bytes) || length > (len(t.Bytes)-start)/elementBytes {
		return 0, 0, errDamaged
	}
	return start, length, nil
}

func (t fbTable) verifySchema() error {
	if _, _, err := t.vector(schemaMetadata, offsetBytes); err != nil {
		return err
	}
	budget := len(t.Bytes)
	return t.verifyFields(schemaFields, depthMax, &budget)
}

// verifyFields looks at each field at most once; budget bounds what shared tables could multiply.
func (t fbTable) verifyFields(place flatbuffers.VOffsetT, depth int, budget *int) error {
	start, length, err := t.vector(place, offsetBytes)
	if err != nil {
		return err
	}
	if depth == 0 || length > *budget {
		return errDamaged
	}
	*budget -= length
	for i := range length {
		field := t.at(flatbuffers.UOffsetT(start + i*offsetBytes))
		if _, _, err := field.vector(fieldMetadata, offsetBytes); err != nil {
			return err
		}
		if err := field.verifyFields(fieldChildren, depth-1, budget); err != nil {
			return err
		}
	}
	return nil
}

func (t fbTable) verifyBatch() error {
	if _, _, err := t.vector(batchNodes, nodeBytes); err != nil {
		return err
	}
	_, buffers, err := t.vector(batchBuffers, bufferBytes)
	if err != nil {
		return err
	}
	start, length, err := t.vector(batchVariadic, countBytes)
	if err != nil {
		return err
	}
	for i := range length {
		count := t.GetInt64(flatbuffers.UOffsetT(start + i*countBytes))
		if count < 0 || count > int64(buffers) {
			return errDamaged
		}
	}
	return nil
}
