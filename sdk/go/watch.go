package heddle

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	watchAfter  = 20 * time.Millisecond
	watchPollMs = 100
)

// watcher notices that the engine closed a lane while a call is under way, when nobody reads. It begins only
// with calls that take a while, so that short ones do not pay for it.
type watcher struct{ conn net.Conn }

// during watches until the given function is called; closed is called when the lane ends before.
func (w watcher) during(closed func()) (end func()) {
	var ended atomic.Bool
	timer := time.AfterFunc(watchAfter, func() { w.wait(&ended, closed) })
	return func() {
		ended.Store(true)
		timer.Stop()
	}
}

func (w watcher) wait(ended *atomic.Bool, closed func()) {
	conn, ok := w.conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	for !ended.Load() {
		state := quiet
		if err := raw.Control(func(descriptor uintptr) { state = look(int(descriptor)) }); err != nil {
			return
		}
		switch {
		case state == hungUp && !ended.Load():
			closed()
			return
		case state == hasData:
			time.Sleep(watchPollMs * time.Millisecond)
		}
	}
}

type laneState int

const (
	quiet laneState = iota
	hasData
	hungUp
)

// look waits a moment for something to read, which it leaves there.
func look(descriptor int) laneState {
	watched := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
	if count, err := unix.Poll(watched, watchPollMs); err != nil || count == 0 {
		return quiet
	}
	count, _, err := unix.Recvfrom(descriptor, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return quiet
	case err != nil || count == 0:
		return hungUp
	}
	return hasData
}
