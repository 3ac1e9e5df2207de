// Package segments maps the engine's shared memory: once for each segment, counted, and given back when
// the engine forgot the segment and nothing refers to it any more.
package segments

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"
)

// Segment names shared memory of the engine.
type Segment struct {
	ID        uint64
	Path      string
	SizeBytes uint64
}

// Map holds the mappings of a process. It is safe for use by several goroutines.
type Map struct {
	mutex    sync.Mutex
	mappings map[key]*mapping
}

type key struct {
	id       uint64
	writable bool
}

// mapping is one mapped file. refs counts the map's own reference and each slice and output in use.
type mapping struct {
	bytes []byte
	refs  atomic.Int64
}

func (m *mapping) release() {
	if m.refs.Add(-1) == 0 {
		// An error would mean that the range is not mapped, which the count rules out.
		_ = unix.Munmap(m.bytes)
	}
}

// NewMap returns an empty map.
func NewMap() *Map { return &Map{mappings: map[key]*mapping{}} }

// Input returns length bytes of a segment, mapped read-only, as a buffer with one reference. released is
// called once, from any goroutine, when the last reference to the buffer and its slices is gone: by Release,
// or by the garbage collector where a Release was left out.
func (m *Map) Input(segment Segment, offset, length uint64, released func()) (*memory.Buffer, error) {
	if offset > segment.SizeBytes || length > segment.SizeBytes-offset {
		return nil, fmt.Errorf("bytes %d to %d of a segment of %d bytes", offset, offset+length, segment.SizeBytes)
	}
	mapped, err := m.acquire(segment, false)
	if err != nil {
		return nil, err
	}
	end := &ending{mapping: mapped, released: released}
	owner := &owner{end: end}
	runtime.AddCleanup(owner, func(end *ending) { end.run() }, end)
	part := mapped.bytes[offset : offset+length : offset+length]
	return memory.NewBufferWithAllocator(part, owner), nil
}

// Output returns a whole segment to write to. done gives it back.
func (m *Map) Output(segment Segment) (part []byte, done func(), err error) {
	mapped, err := m.acquire(segment, true)
	if err != nil {
		return nil, nil, err
	}
	return mapped.bytes, mapped.release, nil
}

// Forget drops segments that are gone. Their memory is unmapped when nothing refers to it any more.
func (m *Map) Forget(ids []uint64) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, id := range ids {
		for _, writable := range []bool{false, true} {
			if mapped, ok := m.mappings[key{id, writable}]; ok {
				delete(m.mappings, key{id, writable})
				mapped.release()
			}
		}
	}
}

// Len is the number of mappings that are held.
func (m *Map) Len() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.mappings)
}

func (m *Map) acquire(segment Segment, writable bool) (*mapping, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	mapped, ok := m.mappings[key{segment.ID, writable}]
	if !ok {
		bytes, err := mapFile(segment, writable)
		if err != nil {
			return nil, err
		}
		mapped = &mapping{bytes: bytes}
		mapped.refs.Store(1)
		m.mappings[key{segment.ID, writable}] = mapped
	}
	if uint64(len(mapped.bytes)) != segment.SizeBytes {
		return nil, fmt.Errorf("segment %d had %d bytes before and is said to have %d now",
			segment.ID, len(mapped.bytes), segment.SizeBytes)
	}
	mapped.refs.Add(1)
	return mapped, nil
}

func mapFile(segment Segment, writable bool) ([]byte, error) {
	flag, protection := os.O_RDONLY, unix.PROT_READ
	if writable {
		flag, protection = os.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
	}
	file, err := os.OpenFile(segment.Path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("a shared-memory segment cannot be opened: %w", err)
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("a shared-memory segment cannot be looked at: %w", err)
	}
	if segment.SizeBytes == 0 || uint64(status.Size()) < segment.SizeBytes {
		return nil, fmt.Errorf("the segment %s has %d bytes and is said to have %d",
			segment.Path, status.Size(), segment.SizeBytes)
	}
	bytes, err := unix.Mmap(int(file.Fd()), 0, int(segment.SizeBytes), protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("a shared-memory segment cannot be mapped: %w", err)
	}
	return bytes, nil
}

// owner is what the buffers of a slice hold on to; as their allocator it is told of their end.
type owner struct{ end *ending }

func (o *owner) Allocate(int) []byte { panic("a slice of shared memory does not allocate") }

func (o *owner) Reallocate(int, []byte) []byte { panic("a slice of shared memory does not grow") }

func (o *owner) Free([]byte) { o.end.run() }

// ending runs once, by the last Release or after the owner was collected.
type ending struct {
	once     sync.Once
	mapping  *mapping
	released func()
}

func (e *ending) run() {
	e.once.Do(func() {
		e.mapping.release()
		e.released()
	})
}
