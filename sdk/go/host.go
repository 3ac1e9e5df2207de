package heddle

import (
	"context"
	"sync"

	"github.com/heddle-lang/heddle/sdk/go/internal/frames"
	"github.com/heddle-lang/heddle/sdk/go/internal/segments"
)

// host is a plugin's state while it runs: what is open, bound and under way.
type host struct {
	registry  *registry
	segments  *segments.Map
	resources openResources

	mutex       sync.Mutex
	inlineMax   int
	frameMax    int
	lastBinding uint64
	bindings    map[uint64]*binding
	calls       map[uint64]context.CancelFunc
	early       []uint64
	draining    bool
	idle        *sync.Cond
}

// binding is a step with its settings and resources.
type binding struct {
	step      *step
	config    any
	resources map[string]*openResource
	base      string
	link      *link
}

// earlyMax bounds the cancellations that are kept for calls that have not been seen yet.
const earlyMax = 256

func newHost(registry *registry) *host {
	h := &host{
		registry: registry, segments: segments.NewMap(), inlineMax: frames.InlineBytesMax,
		frameMax: frames.BytesMax, bindings: map[uint64]*binding{}, calls: map[uint64]context.CancelFunc{},
	}
	h.idle = sync.NewCond(&h.mutex)
	return h
}

func (h *host) setLimits(inlineMax, frameMax uint32) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if frameMax > 0 {
		h.frameMax = int(frameMax)
	}
	if inlineMax > 0 {
		h.inlineMax = int(inlineMax)
	}
	h.inlineMax = min(h.inlineMax, h.frameMax-frameRoomBytes)
}

func (h *host) limits() (inlineMax, frameMax int) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.inlineMax, h.frameMax
}

func (h *host) bind(bound *binding) uint64 {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.lastBinding++
	h.bindings[h.lastBinding] = bound
	return h.lastBinding
}

func (h *host) binding(id uint64) (*binding, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	bound, ok := h.bindings[id]
	if !ok {
		return nil, protocolError("there is no binding with the id %d", id)
	}
	return bound, nil
}

func (h *host) releaseBinding(id uint64) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	delete(h.bindings, id)
}

// begin gives a call its context. It fails when the plugin is draining.
func (h *host) begin(id uint64) (context.Context, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.draining {
		return nil, protocolError("the plugin is draining and takes no new calls")
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.calls[id] = cancel
	for _, early := range h.early {
		if early == id {
			cancel()
		}
	}
	return ctx, nil
}

func (h *host) finish(id uint64) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if cancel, ok := h.calls[id]; ok {
		cancel()
		delete(h.calls, id)
	}
	h.idle.Broadcast()
}

// cancel ends a call, also one whose beginning is still on its way.
func (h *host) cancel(id uint64) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if cancel, ok := h.calls[id]; ok {
		cancel()
		return
	}
	if len(h.early) == earlyMax {
		h.early = h.early[1:]
	}
	h.early = append(h.early, id)
}

func (h *host) callCount() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return len(h.calls)
}

// drain refuses new calls, waits for those under way and closes the resources.
func (h *host) drain(ctx context.Context) []string {
	defer context.AfterFunc(ctx, func() {
		h.mutex.Lock()
		defer h.mutex.Unlock()
		h.idle.Broadcast()
	})()
	h.mutex.Lock()
	h.draining = true
	for len(h.calls) > 0 && ctx.Err() == nil {
		h.idle.Wait()
	}
	h.mutex.Unlock()
	return h.resources.closeAll(ctx)
}

// shutDown cancels what is under way and closes the resources, without waiting for calls.
func (h *host) shutDown() []string {
	h.mutex.Lock()
	h.draining = true
	for _, cancel := range h.calls {
		cancel()
	}
	h.mutex.Unlock()
	done, end := context.WithCancel(context.Background())
	end()
	return h.resources.closeAll(done)
}
