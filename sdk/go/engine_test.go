package heddle

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/heddle-lang/heddle/sdk/go/internal/frames"
	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// TestMain serves the plugin of these tests when an engine of theirs started the process.
func TestMain(m *testing.M) {
	if os.Getenv(folderVariable) != "" {
		Serve(testPlugin)
	}
	os.Exit(m.Run())
}

// engine is the other end of the protocol: a plugin process and what it was given.
type engine struct {
	t       testing.TB
	process *exec.Cmd
	stdin   interface{ Close() error }
	stdout  *bytes.Buffer
	stderr  *bytes.Buffer
	exited  chan error
	folder  string
	control wire.PluginControlClient
	calls   uint64
}

func startEngine(t testing.TB) *engine {
	t.Helper()
	folder, err := os.MkdirTemp("", "hp")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, folder: folder, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, exited: make(chan error, 1)}
	e.process = exec.Command(os.Args[0])
	e.process.Env = append(os.Environ(), folderVariable+"="+folder)
	e.process.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if e.stdin, err = e.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	ready, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	e.process.Stdout, e.process.Stderr = output, e.stderr
	if err := e.process.Start(); err != nil {
		t.Fatal(err)
	}
	_ = output.Close()
	line := make([]byte, len(readyLine))
	if _, err := ready.Read(line); err != nil || string(line) != readyLine {
		t.Fatalf("the plugin wrote %q: %v", line, err)
	}
	go func() {
		_, _ = e.stdout.ReadFrom(ready)
		e.exited <- e.process.Wait()
	}()
	t.Cleanup(func() {
		_ = e.process.Process.Kill()
		_ = os.RemoveAll(folder)
	})
	client, err := grpc.NewClient("unix:"+filepath.Join(folder, "control.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	e.control = wire.NewPluginControlClient(client)
	handshake, err := e.control.Handshake(t.Context(), &wire.HandshakeRequest{
		ProtocolMin: 1, ProtocolMax: 1, InlineBytesMax: frames.InlineBytesMax, FrameBytesMax: frames.BytesMax,
	})
	if err != nil || handshake.GetProtocol() != 1 {
		t.Fatalf("%v %v", handshake, err)
	}
	return e
}

func (e *engine) bind(step string) uint64 { return e.bindWith(step, "{}") }

func (e *engine) bindWith(step, config string) uint64 {
	e.t.Helper()
	response, err := e.control.BindStep(e.t.Context(), &wire.BindStepRequest{Step: step, ConfigJson: config})
	if err != nil || response.GetFailure() != nil {
		e.t.Fatalf("%v %v", response, err)
	}
	return response.GetBindingId()
}

// ends waits for the process.
func (e *engine) ends(within time.Duration) {
	e.t.Helper()
	select {
	case err := <-e.exited:
		if err != nil {
			e.t.Errorf("the plugin ended with %v: %s", err, e.stderr)
		}
	case <-time.After(within):
		e.t.Fatalf("the plugin did not end within %s", within)
	}
	if _, err := os.Stat(e.folder); !os.IsNotExist(err) {
		e.t.Errorf("the folder is still there: %v", err)
	}
}

// engineLane is the engine's end of a lane.
type engineLane struct {
	engine   *engine
	conn     *frames.Conn
	raw      net.Conn
	released []uint64
	segments map[uint64][]byte
}

func (e *engine) lane() *engineLane {
	e.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(e.folder, "lanes.sock"))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	return &engineLane{engine: e, conn: frames.New(conn, frames.BytesMax), raw: conn, segments: map[uint64][]byte{}}
}

// answer is what came back for a call.
type answer struct {
	tables     []*Table
	slices     []*wire.Slice
	columns    [][]int32
	needs      []uint64
	rejections []*wire.Rejection
	logs       []*wire.Log
	failure    *wire.Failure
	released   []uint64
}

// options of a call.
type options struct {
	shared   bool
	grant    int
	noMemory bool
	parts    int
}

var lastSegment atomic.Uint64

// segment makes shared memory as the engine does, filled with bytes.
func (l *engineLane) segment(size int) *wire.Segment {
	descriptor, err := unix.MemfdCreate("segment", unix.MFD_CLOEXEC)
	if err != nil {
		l.engine.t.Fatal(err)
	}
	if err := unix.Ftruncate(descriptor, int64(size)); err != nil {
		l.engine.t.Fatal(err)
	}
	content, err := unix.Mmap(descriptor, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		l.engine.t.Fatal(err)
	}
	id := lastSegment.Add(1)
	l.segments[id] = content
	l.engine.t.Cleanup(func() { _ = unix.Close(descriptor) })
	return &wire.Segment{
		Id: id, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), descriptor), SizeBytes: uint64(size),
	}
}

func encoded(t testing.TB, schema *arrow.Schema, batches ...arrow.RecordBatch) []byte {
	t.Helper()
	var stream bytes.Buffer
	writer := ipc.NewWriter(&stream, ipc.WithSchema(schema))
	for _, batch := range batches {
		if err := writer.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return stream.Bytes()
}

func (l *engineLane) batch(stream []byte, shared bool) *wire.Batch {
	if !shared {
		return &wire.Batch{Place: &wire.Batch_Inline{Inline: stream}}
	}
	segment := l.segment((len(stream) + 64 + 4095) &^ 4095)
	copy(l.segments[segment.GetId()][64:], stream)
	return &wire.Batch{Place: &wire.Batch_Slice{
		Slice: &wire.Slice{Segment: segment, Offset: 64, Length: uint64(len(stream))},
	}}
}

func (l *engineLane) send(frame *wire.EngineFrame) {
	l.engine.t.Helper()
	if err := l.conn.Write(frame); err != nil {
		l.engine.t.Fatal(err)
	}
}

// begin sends a call with its input, one batch of the protocol for each record batch.
func (l *engineLane) begin(binding uint64, table *Table, with options) *wire.Call {
	l.engine.calls++
	call := &wire.Call{CallId: l.engine.calls, BindingId: binding, Context: &wire.Context{Attempt: 1}}
	if with.grant > 0 {
		call.Grant = &wire.Grant{Segment: l.segment(with.grant)}
	}
	if table == nil {
		l.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: call}})
		return call
	}
	call.HasInput, call.End = true, with.parts == 0
	if with.parts == 0 {
		call.Batch = l.batch(encoded(l.engine.t, table.Schema(), table.Batches()...), with.shared)
	}
	l.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: call}})
	if with.parts > 0 {
		for range with.parts {
			batch := l.batch(encoded(l.engine.t, table.Schema(), table.Batches()...), with.shared)
			l.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Batch{Batch: batch}})
		}
		l.send(&wire.EngineFrame{Kind: &wire.EngineFrame_End{End: &wire.EndInput{}}})
	}
	return call
}

func (l *engineLane) finish(with options) *answer {
	l.engine.t.Helper()
	result := &answer{}
	for {
		frame := &wire.PluginFrame{}
		if err := l.conn.Read(frame); err != nil {
			l.engine.t.Fatalf("the lane ended: %v; stderr: %s", err, l.engine.stderr)
		}
		result.released = append(result.released, frame.GetReleased()...)
		switch kind := frame.GetKind().(type) {
		case *wire.PluginFrame_Batch:
			l.take(result, kind.Batch)
		case *wire.PluginFrame_Need:
			result.needs = append(result.needs, kind.Need.GetSizeBytes())
			grant := &wire.Grant{}
			if !with.noMemory {
				grant.Segment = l.segment(int(kind.Need.GetSizeBytes()))
			}
			l.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Grant{Grant: grant}})
		case *wire.PluginFrame_Rejection:
			result.rejections = append(result.rejections, kind.Rejection)
		case *wire.PluginFrame_Log:
			result.logs = append(result.logs, kind.Log)
		case *wire.PluginFrame_Result:
			result.failure = kind.Result.GetFailure()
			return result
		}
	}
}

func (l *engineLane) take(result *answer, batch *wire.Batch) {
	l.engine.t.Helper()
	stream := batch.GetInline()
	if slice := batch.GetSlice(); slice != nil {
		result.slices = append(result.slices, slice)
		stream = l.segments[slice.GetSegment().GetId()][slice.GetOffset() : slice.GetOffset()+slice.GetLength()]
	}
	schema, batches, err := payload.Read(memory.NewBufferBytes(stream))
	if err != nil {
		l.engine.t.Fatal(err)
	}
	table, err := NewTable(schema, batches...)
	if err != nil {
		l.engine.t.Fatal(err)
	}
	result.tables = append(result.tables, table)
	result.columns = append(result.columns, batch.GetColumns())
}

func (l *engineLane) call(binding uint64, table *Table, with options) *answer {
	l.engine.t.Helper()
	l.begin(binding, table, with)
	return l.finish(with)
}

func mustFail(t *testing.T, failure *wire.Failure, kind wire.Failure_Kind, message string) {
	t.Helper()
	if failure == nil || failure.GetKind() != kind || !strings.Contains(failure.GetMessage(), message) {
		t.Errorf("failure %v; wanted %s with %q", failure, kind, message)
	}
}
