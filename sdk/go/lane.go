package heddle

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync"

	"github.com/heddle-lang/heddle/sdk/go/internal/frames"
	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// frameRoomBytes is what a frame may need beside its payload.
const frameRoomBytes = 4096

// releasedMax bounds the released segments in one frame, so that they fit into the room beside a payload.
const releasedMax = 256

// errLane ends a lane: the engine closed it, or sent what it must not send.
var errLane = errors.New("the lane is closed")

// lane answers the calls of one connection, one at a time.
type lane struct {
	host  *host
	conn  *frames.Conn
	watch watcher

	inlineMax int
	frameMax  int
	grant     *wire.Segment
	target    payload.Target

	sending  sync.Mutex
	broken   error
	noting   sync.Mutex
	released []uint64
}

// serveLane answers calls until the connection ends. What goes wrong on it stays on it.
func serveLane(host *host, conn net.Conn) {
	inlineMax, frameMax := host.limits()
	l := &lane{
		host: host, conn: frames.New(conn, frameMax), watch: watcher{conn: conn}, inlineMax: inlineMax,
		frameMax: frameMax,
	}
	defer func() { _ = l.conn.Close() }()
	// A fault in shared memory is a panic of the call, not the end of the process.
	debug.SetPanicOnFault(true)
	for {
		frame, err := l.next()
		if err != nil {
			return
		}
		call := frame.GetCall()
		if call == nil || l.answer(call) != nil {
			return
		}
	}
}

// answer serves one call. Its error ends the lane.
func (l *lane) answer(call *wire.Call) error {
	l.host.segments.Forget(call.GetForgotten())
	l.grant = call.GetGrant().GetSegment()
	ctx, refused := l.host.begin(call.GetCallId())
	defer l.host.finish(call.GetCallId())
	input, err := l.input(call)
	if err != nil {
		return err
	}
	if refused != nil {
		input.close()
		return l.result(failureOf(refused), 0)
	}
	if len(call.GetFollowers()) > 0 {
		done, failure, err := l.chain(ctx, call, input)
		if err != nil {
			return err
		}
		return l.result(failure, done)
	}
	failure, err := l.invoke(ctx, call, input)
	if err != nil {
		return err
	}
	return l.result(failure, 0)
}

// invoke calls the step and sends all but the result. Its error ends the lane.
func (l *lane) invoke(ctx context.Context, told *wire.Call, input *input) (*wire.Failure, error) {
	defer input.close()
	if input.problem != nil {
		return failureOf(input.problem), nil
	}
	bound, err := l.host.binding(told.GetBindingId())
	if err != nil {
		return failureOf(err), nil
	}
	call := newCall(ctx, bound, told.GetContext(), input.rows(), l)
	defer l.watch.during(func() { l.host.cancel(told.GetCallId()) })()
	output, err := bound.run(call, input.table, func(table *Table) error { return l.sendTable(table, nil) })
	rejections, refused := call.end()
	if err == nil {
		err = refused
	}
	if err == nil {
		err = l.sendRejections(rejections)
	}
	if err == nil && output != nil {
		err = guarded(func() error { return l.sendTable(output, input) })
		input.giveUp(output)
	}
	switch {
	case errors.Is(err, errLane):
		return nil, errLane
	case err != nil && ctx.Err() != nil:
		return cancelledFailure(err), nil
	}
	return failureOf(err), nil
}

func (l *lane) result(failure *wire.Failure, done uint32) error {
	result := &wire.Result{Failure: failure, Done: done}
	return l.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Result{Result: result}})
}

// next is the engine's next frame.
func (l *lane) next() (*wire.EngineFrame, error) {
	frame := &wire.EngineFrame{}
	if err := l.conn.Read(frame); err != nil {
		return nil, errLane
	}
	return frame, nil
}

// send adds the segments that were released meanwhile. A connection that fails ends the lane.
func (l *lane) send(frame *wire.PluginFrame) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	if l.broken != nil {
		return l.broken
	}
	frame.Released = l.takeReleased()
	err := l.conn.Write(frame)
	if errors.Is(err, frames.ErrTooLarge) {
		return err
	}
	if err != nil {
		l.broken = errors.Join(errLane, err)
		return l.broken
	}
	return nil
}

func (l *lane) takeReleased() []uint64 {
	l.noting.Lock()
	defer l.noting.Unlock()
	count := min(len(l.released), releasedMax)
	taken := l.released[:count:count]
	l.released = l.released[count:]
	return taken
}

func (l *lane) noteReleased(segment uint64) {
	l.noting.Lock()
	defer l.noting.Unlock()
	l.released = append(l.released, segment)
}

func (l *lane) sendRejections(rejections []Rejection) error {
	for _, rejection := range rejections {
		reason, errorType := clipped(rejection.Reason), clipped(rejection.ErrorType)
		rowsMax := max(1, (l.frameMax-frameRoomBytes-len(reason)-len(errorType))/rowNumberBytes)
		for rows := rejection.Rows; len(rows) > 0; {
			part := rows[:min(len(rows), rowsMax)]
			rows = rows[len(part):]
			frame := &wire.PluginFrame{Kind: &wire.PluginFrame_Rejection{Rejection: &wire.Rejection{
				Rows: encodedRowNumbers(part), Reason: reason, ErrorType: errorType,
			}}}
			if err := l.send(frame); err != nil {
				return err
			}
		}
	}
	return nil
}

// The reports of a call; one that cannot be sent is dropped, and the call finds the lane's end by itself.

func (l *lane) log(entry *wire.Log) {
	_ = l.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Log{Log: entry}})
}

func (l *lane) progress(progress *wire.Progress) {
	_ = l.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Progress{Progress: progress}})
}

func (l *lane) metric(metric *wire.Metric) {
	_ = l.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Metric{Metric: metric}})
}
