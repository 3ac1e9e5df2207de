// Package payload turns record batches into Arrow IPC streams, straight into given memory, and reads them
// in place.
package payload

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Read returns the schema and the batches of an IPC stream. The batches' buffers are slices of data and
// hold references to it; the caller keeps its own reference. The caller releases the batches.
func Read(data *memory.Buffer) (schema *arrow.Schema, batches []arrow.RecordBatch, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("no Arrow stream could be read: %v", problem)
		}
		if err != nil {
			for _, batch := range batches {
				batch.Release()
			}
			schema, batches = nil, nil
		}
	}()
	reader, err := ipc.NewReaderFromMessageReader(newMessages(data))
	if err != nil {
		return nil, nil, fmt.Errorf("no Arrow stream could be read: %w", err)
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		batch.Retain()
		batches = append(batches, batch)
	}
	if err := reader.Err(); err != nil {
		return nil, batches, fmt.Errorf("no Arrow stream could be read: %w", err)
	}
	return reader.Schema(), batches, nil
}

// ReadSchema returns the schema of a stream that holds nothing else.
func ReadSchema(data []byte) (*arrow.Schema, error) {
	schema, batches, err := Read(memory.NewBufferBytes(data))
	for _, batch := range batches {
		batch.Release()
	}
	return schema, err
}

const (
	continuation = 0xFFFFFFFF
	wordBytes    = 4
	metadataMin  = 8
)

// messages slices a stream in memory into messages, without a copy.
type messages struct {
	refs    atomic.Int64
	data    *memory.Buffer
	at      int
	current *ipc.Message
}

func newMessages(data *memory.Buffer) *messages {
	data.Retain()
	m := &messages{data: data}
	m.refs.Store(1)
	return m
}

func (m *messages) Retain() { m.refs.Add(1) }

func (m *messages) Release() {
	if m.refs.Add(-1) != 0 {
		return
	}
	if m.current != nil {
		m.current.Release()
		m.current = nil
	}
	m.data.Release()
}

// Message gives the next message, or io.EOF. It is valid until the next call.
func (m *messages) Message() (*ipc.Message, error) {
	if m.current != nil {
		m.current.Release()
		m.current = nil
	}
	length, err := m.word()
	if err != nil {
		return nil, err
	}
	if length == continuation {
		if length, err = m.word(); err != nil {
			return nil, err
		}
	}
	if length == 0 {
		return nil, io.EOF
	}
	metadata, err := m.take(uint64(length))
	if err != nil {
		return nil, err
	}
	if metadata.Len() < metadataMin {
		metadata.Release()
		return nil, errors.New("a message's metadata is too short")
	}
	defer metadata.Release()
	if err := verify(metadata.Bytes()); err != nil {
		return nil, err
	}
	head := ipc.NewMessage(metadata, memory.NewBufferBytes(nil))
	bodyBytes := head.BodyLen()
	head.Release()
	if bodyBytes < 0 {
		return nil, fmt.Errorf("a message's body has %d bytes", bodyBytes)
	}
	part, err := m.take(uint64(bodyBytes))
	if err != nil {
		return nil, err
	}
	defer part.Release()
	m.current = ipc.NewMessage(metadata, part)
	return m.current, nil
}

func (m *messages) word() (uint32, error) {
	rest := m.data.Bytes()[m.at:]
	if len(rest) == 0 {
		return 0, io.EOF
	}
	if len(rest) < wordBytes {
		return 0, io.ErrUnexpectedEOF
	}
	m.at += wordBytes
	return binary.LittleEndian.Uint32(rest), nil
}

func (m *messages) take(length uint64) (*memory.Buffer, error) {
	if length > uint64(m.data.Len()-m.at) {
		return nil, io.ErrUnexpectedEOF
	}
	part := memory.SliceBuffer(m.data, m.at, int(length))
	m.at += int(length)
	return part, nil
}
