// Package frames reads and writes the frames of a lane: a uint32 (little endian) with the length of the
// protobuf message that follows.
package frames

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/protobuf/proto"
)

// BytesMax is the limit of a frame's message where the handshake names none.
const BytesMax = 16 << 20

// InlineBytesMax is the limit of an inline payload where the handshake names none.
const InlineBytesMax = 64 << 10

const (
	prefixBytes = 4
	bufferBytes = 128 << 10
	keepBytes   = 1 << 20
)

// ErrTooLarge is a message above the limit, of which nothing was sent.
var ErrTooLarge = errors.New("the frame is too large")

// Conn is one lane's connection. One goroutine reads and one writes at a time.
type Conn struct {
	conn     net.Conn
	reader   *bufio.Reader
	out      []byte
	bytesMax int
}

// New wraps a connection. Messages above bytesMax are refused in both directions.
func New(conn net.Conn, bytesMax int) *Conn {
	return &Conn{conn: conn, reader: bufio.NewReaderSize(conn, bufferBytes), bytesMax: bytesMax}
}

// Read fills message with the next frame. It returns io.EOF when the peer closed the lane between two
// frames, and another error when what it sent is no frame.
func (c *Conn) Read(message proto.Message) error {
	prefix, err := c.reader.Peek(prefixBytes)
	if err != nil {
		if errors.Is(err, io.EOF) && len(prefix) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	length := int64(binary.LittleEndian.Uint32(prefix))
	if length > int64(c.bytesMax) {
		return fmt.Errorf("a frame of %d bytes was announced; %d are allowed", length, c.bytesMax)
	}
	if _, err := c.reader.Discard(prefixBytes); err != nil {
		return err
	}
	size := int(length)
	if size <= bufferBytes {
		body, err := c.reader.Peek(size)
		if err != nil {
			return cutShort(err)
		}
		if err := proto.Unmarshal(body, message); err != nil {
			return fmt.Errorf("a frame is not what the protocol says: %w", err)
		}
		_, err = c.reader.Discard(size)
		return err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.reader, body); err != nil {
		return cutShort(err)
	}
	if err := proto.Unmarshal(body, message); err != nil {
		return fmt.Errorf("a frame is not what the protocol says: %w", err)
	}
	return nil
}

// Write sends one frame. A message above the limit is ErrTooLarge.
func (c *Conn) Write(message proto.Message) error {
	out, err := proto.MarshalOptions{}.MarshalAppend(append(c.out[:0], 0, 0, 0, 0), message)
	if err != nil {
		return err
	}
	size := len(out) - prefixBytes
	if size > c.bytesMax {
		return fmt.Errorf("%w: %d bytes; %d are allowed", ErrTooLarge, size, c.bytesMax)
	}
	binary.LittleEndian.PutUint32(out, uint32(size))
	if cap(out) <= keepBytes {
		c.out = out
	}
	_, err = c.conn.Write(out)
	return err
}

// Close ends the lane and wakes the goroutine that reads.
func (c *Conn) Close() error { return c.conn.Close() }

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
