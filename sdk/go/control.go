package heddle

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// protocolVersion is the one version that this SDK speaks.
const protocolVersion = 1

// control answers the engine's control channel. Failures of user code are in the answers.
type control struct {
	wire.UnimplementedPluginControlServer
	host *host
}

func (c *control) Handshake(_ context.Context, r *wire.HandshakeRequest) (*wire.HandshakeResponse, error) {
	plugin := c.host.registry.plugin
	response := &wire.HandshakeResponse{
		Sdk: "heddle-go " + SDKVersion, Namespace: plugin.Namespace, Environment: plugin.Environment,
		Chains: true,
	}
	if r.GetProtocolMin() > protocolVersion || r.GetProtocolMax() < protocolVersion {
		side := "update the plugin's SDK"
		if r.GetProtocolMax() < protocolVersion {
			side = "update Heddle"
		}
		response.Failure = failureOf(protocolError(
			"the engine %s speaks plugin protocols %d to %d, and the plugin `%s` (heddle-go %s) speaks %d to %d; %s",
			r.GetEngineVersion(), r.GetProtocolMin(), r.GetProtocolMax(), plugin.Namespace, SDKVersion,
			protocolVersion, protocolVersion, side))
		return response, nil
	}
	c.host.setLimits(r.GetInlineBytesMax(), r.GetFrameBytesMax())
	response.Protocol = protocolVersion
	return response, nil
}

func (c *control) Describe(_ context.Context, r *wire.DescribeRequest) (*wire.DescribeResponse, error) {
	for name, value := range r.GetEnvironment() {
		if err := os.Setenv(name, value); err != nil {
			return &wire.DescribeResponse{
				Failure: failureOf(protocolError("the environment variable %q cannot be set: %s", name, err)),
			}, nil
		}
	}
	return c.host.registry.description(), nil
}

func (c *control) OpenResource(
	ctx context.Context, r *wire.OpenResourceRequest,
) (*wire.OpenResourceResponse, error) {
	offered, ok := c.host.registry.resources[r.GetType()]
	if !ok {
		err := protocolError("the plugin `%s` has no resource `%s`", c.host.registry.plugin.Namespace, r.GetType())
		return &wire.OpenResourceResponse{Failure: failureOf(err)}, nil
	}
	value, err := offered.openValue(ctx, r.GetName(), r.GetConfigJson())
	if err != nil {
		return &wire.OpenResourceResponse{Failure: failureOf(err)}, nil
	}
	name := r.GetName()
	if name == "" {
		name = r.GetType()
	}
	lease := time.Duration(r.GetLeaseS() * float64(time.Second))
	return &wire.OpenResourceResponse{ResourceId: c.host.resources.add(name, value, lease).id}, nil
}

func (c *control) CheckResource(
	ctx context.Context, r *wire.CheckResourceRequest,
) (*wire.CheckResourceResponse, error) {
	resource, err := c.host.resources.find(r.GetResourceId())
	if err == nil {
		err = resource.hold()
	}
	if err != nil {
		return &wire.CheckResourceResponse{Failure: failureOf(err)}, nil
	}
	defer resource.release()
	return &wire.CheckResourceResponse{Problem: healthOf(ctx, resource.value)}, nil
}

func (c *control) CloseResource(
	ctx context.Context, r *wire.CloseResourceRequest,
) (*wire.CloseResourceResponse, error) {
	resource, err := c.host.resources.take(r.GetResourceId())
	if err == nil {
		err = resource.close(ctx)
	}
	return &wire.CloseResourceResponse{Failure: failureOf(err)}, nil
}

func (c *control) BindStep(_ context.Context, r *wire.BindStepRequest) (*wire.BindStepResponse, error) {
	bound, err := c.host.bound(r)
	if err != nil {
		return &wire.BindStepResponse{Failure: failureOf(err)}, nil
	}
	return &wire.BindStepResponse{BindingId: c.host.bind(bound)}, nil
}

func (h *host) bound(r *wire.BindStepRequest) (*binding, error) {
	step, ok := h.registry.steps[r.GetStep()]
	if !ok {
		return nil, protocolError("the plugin `%s` has no step `%s`", h.registry.plugin.Namespace, r.GetStep())
	}
	config, err := decodeConfig(r.GetConfigJson(), step.config, step.of, step.where())
	if err != nil {
		return nil, err
	}
	link, err := decodedLink(r.GetLink())
	if err != nil {
		return nil, err
	}
	bound := &binding{
		step: step, config: config.Interface(), resources: map[string]*openResource{}, base: r.GetBase(), link: link,
	}
	for _, slot := range step.declared.GetSlots() {
		id, given := r.GetResources()[slot.GetName()]
		if !given {
			if slot.GetRequired() {
				return nil, configError("%s needs a resource in the slot `%s`", step.where(), slot.GetName())
			}
			continue
		}
		if bound.resources[slot.GetName()], err = h.resources.find(id); err != nil {
			return nil, err
		}
	}
	for slot := range r.GetResources() {
		if _, known := bound.resources[slot]; !known {
			return nil, configError("%s has no slot `%s`", step.where(), slot)
		}
	}
	return bound, nil
}

func (c *control) InferSchema(ctx context.Context, r *wire.InferSchemaRequest) (*wire.InferSchemaResponse, error) {
	row, err := c.host.inferred(ctx, r)
	if err != nil {
		return &wire.InferSchemaResponse{Failure: failureOf(err)}, nil
	}
	return &wire.InferSchemaResponse{Output: row}, nil
}

func (h *host) inferred(ctx context.Context, r *wire.InferSchemaRequest) (*wire.Row, error) {
	bound, err := h.binding(r.GetBindingId())
	if err != nil {
		return nil, err
	}
	if bound.step.infer == nil {
		return nil, protocolError("the output of %s does not depend on its settings", bound.step.where())
	}
	input, err := decodedRow(r.GetInput())
	if err != nil {
		return nil, protocolError("the input's row cannot be read: %s", err)
	}
	held, release, err := bound.hold()
	if err != nil {
		return nil, err
	}
	defer release()
	call := &Call{Context: ctx, Step: bound.step.declared.GetName(), Attempt: 1, base: bound.base, resources: held}
	call.Log = newLogger(call)
	var row Row
	err = guarded(func() error {
		row, err = bound.step.infer(call, bound.config, input)
		return err
	})
	if err != nil {
		return nil, err
	}
	return row.encoded()
}

// hold keeps the resources of a binding open. release gives them back.
func (b *binding) hold() (values map[string]any, release func(), err error) {
	values = make(map[string]any, len(b.resources))
	var held []*openResource
	release = func() {
		for _, resource := range held {
			resource.release()
		}
	}
	for slot, resource := range b.resources {
		if err := resource.hold(); err != nil {
			release()
			return nil, nil, err
		}
		held = append(held, resource)
		values[slot] = resource.value
	}
	return values, release, nil
}

func (c *control) ReleaseStep(_ context.Context, r *wire.ReleaseStepRequest) (*wire.ReleaseStepResponse, error) {
	c.host.releaseBinding(r.GetBindingId())
	return &wire.ReleaseStepResponse{}, nil
}

func (c *control) Cancel(_ context.Context, r *wire.CancelRequest) (*wire.CancelResponse, error) {
	c.host.cancel(r.GetCallId())
	return &wire.CancelResponse{}, nil
}

func (c *control) Health(ctx context.Context, _ *wire.HealthRequest) (*wire.HealthResponse, error) {
	response := &wire.HealthResponse{Calls: uint32(c.host.callCount())}
	for _, resource := range c.host.resources.all() {
		if problem := healthOf(ctx, resource.value); problem != "" {
			response.Problems = append(response.Problems, fmt.Sprintf("%s: %s", resource.name, problem))
		}
	}
	return response, nil
}

func (c *control) Drain(ctx context.Context, _ *wire.DrainRequest) (*wire.DrainResponse, error) {
	return &wire.DrainResponse{Problems: c.host.drain(ctx)}, nil
}
