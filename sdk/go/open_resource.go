package heddle

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// openResource is a resource with its lease. Calls that use it hold it, so that it is not closed under them.
type openResource struct {
	id    uint64
	name  string
	value any
	lease time.Duration

	mutex   sync.Mutex
	idle    *sync.Cond
	holders int
	timer   *time.Timer
	used    time.Time
	closed  bool
	expired bool
}

func newOpenResource(id uint64, name string, value any, lease time.Duration) *openResource {
	r := &openResource{id: id, name: name, value: value, lease: lease, used: time.Now()}
	r.idle = sync.NewCond(&r.mutex)
	if lease > 0 {
		r.timer = time.AfterFunc(lease, r.expire)
	}
	return r
}

// hold keeps the resource open until release, and renews its lease.
func (r *openResource) hold() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.expired {
		return expiredError("the resource `%s` was closed because nothing used it for %s", r.name, r.lease)
	}
	if r.closed {
		return expiredError("the resource `%s` was closed", r.name)
	}
	r.holders++
	return nil
}

func (r *openResource) release() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.holders--
	r.used = time.Now()
	if r.timer != nil && !r.closed {
		r.timer.Reset(r.lease)
	}
	r.idle.Broadcast()
}

// expire closes the resource when its lease ran out; a lease that was renewed meanwhile has set the timer anew.
func (r *openResource) expire() {
	r.mutex.Lock()
	if r.closed || r.holders > 0 || time.Since(r.used) < r.lease {
		r.mutex.Unlock()
		return
	}
	r.closed, r.expired = true, true
	r.mutex.Unlock()
	if err := closeValue(r.value); err != nil {
		fmt.Fprintf(os.Stderr, "the resource `%s` was closed because nothing used it: %s\n", r.name, err)
	}
}

// close waits for the calls that use the resource, or for the context, and closes it. Closing it again does
// nothing.
func (r *openResource) close(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.idle.Broadcast()
	})()
	r.mutex.Lock()
	for r.holders > 0 && ctx.Err() == nil {
		r.idle.Wait()
	}
	done := r.closed
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mutex.Unlock()
	if done {
		return nil
	}
	return closeValue(r.value)
}

// openResources are the resources of a process, in the order in which they were opened.
type openResources struct {
	mutex sync.Mutex
	last  uint64
	open  []*openResource
}

func (o *openResources) add(name string, value any, lease time.Duration) *openResource {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.last++
	resource := newOpenResource(o.last, name, value, lease)
	o.open = append(o.open, resource)
	return resource
}

func (o *openResources) find(id uint64) (*openResource, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for _, resource := range o.open {
		if resource.id == id {
			return resource, nil
		}
	}
	return nil, protocolError("there is no resource with the id %d", id)
}

// take removes a resource, to be closed.
func (o *openResources) take(id uint64) (*openResource, error) {
	resource, err := o.find(id)
	if err != nil {
		return nil, err
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.open = slices.DeleteFunc(o.open, func(r *openResource) bool { return r == resource })
	return resource, nil
}

// all gives the resources that are there, the last opened first.
func (o *openResources) all() []*openResource {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	result := slices.Clone(o.open)
	slices.Reverse(result)
	return result
}

// closeAll closes all resources, the last opened first, and gives what that raised.
func (o *openResources) closeAll(ctx context.Context) []string {
	var problems []string
	for _, resource := range o.all() {
		if _, err := o.take(resource.id); err != nil {
			continue
		}
		if err := resource.close(ctx); err != nil {
			problems = append(problems, clipped(fmt.Sprintf("%s: %s", resource.name, err)))
		}
	}
	return problems
}
