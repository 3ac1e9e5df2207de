package heddle

import (
	"fmt"
	"strings"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// SDKVersion is what the plugin tells the engine of itself.
const SDKVersion = "0.1.0"

// Plugin is what a process offers. Serve runs it; Try calls one of its steps in a test.
type Plugin struct {
	// Namespace is the name that programs import, such as "fraud-score" or "team/risk".
	Namespace string
	// Version is the plugin's own.
	Version string
	// Doc is a sentence or two for people.
	Doc string
	// Environment names the environment variables that the plugin needs. It sees no others than these and
	// what any process has (PATH, HOME, TZ and the like).
	Environment []string
	// Offers are the plugin's Step, Source, Sink and Resource values.
	Offers []Offer
}

// Offer is a Step, a Source, a Sink or a Resource.
type Offer interface {
	offer(registry *registry) error
}

// registry is a plugin in the form in which it is called.
type registry struct {
	plugin    Plugin
	steps     map[string]*step
	resources map[string]*resourceType
	order     []string
	kinds     []string
}

// compile checks a plugin. Its errors name the offer.
func compile(plugin Plugin) (*registry, error) {
	if plugin.Namespace == "" || strings.TrimSpace(plugin.Namespace) != plugin.Namespace ||
		strings.HasPrefix(plugin.Namespace, ".") || strings.HasPrefix(plugin.Namespace, "/") {
		return nil, fmt.Errorf("a namespace is a name such as \"security\" or \"team/risk\", not %q", plugin.Namespace)
	}
	registry := &registry{plugin: plugin, steps: map[string]*step{}, resources: map[string]*resourceType{}}
	for _, offer := range plugin.Offers {
		if err := offer.offer(registry); err != nil {
			return nil, fmt.Errorf("plugin `%s`: %w", plugin.Namespace, err)
		}
	}
	for _, name := range registry.order {
		for _, slot := range registry.steps[name].declared.GetSlots() {
			if registry.resources[slot.GetResource()] == nil {
				return nil, fmt.Errorf("plugin `%s`: the step `%s` uses the resource `%s`, which the plugin does not "+
					"offer; add a heddle.Resource of that name", plugin.Namespace, name, slot.GetResource())
			}
		}
	}
	return registry, nil
}

func (r *registry) addStep(step *step) error {
	name := step.declared.GetName()
	if name == "" {
		return fmt.Errorf("a step has no Name")
	}
	if r.steps[name] != nil {
		return fmt.Errorf("there are two steps `%s`; rename one of them", name)
	}
	r.steps[name] = step
	r.order = append(r.order, name)
	return nil
}

func (r *registry) addResource(resource *resourceType) error {
	if resource.name == "" {
		return fmt.Errorf("a resource has no Name")
	}
	if r.resources[resource.name] != nil {
		return fmt.Errorf("there are two resources `%s`; rename one of them", resource.name)
	}
	r.resources[resource.name] = resource
	r.kinds = append(r.kinds, resource.name)
	return nil
}

// description is what the plugin offers, as the engine asks for it.
func (r *registry) description() *wire.DescribeResponse {
	response := &wire.DescribeResponse{
		Namespace: r.plugin.Namespace, Version: r.plugin.Version, Doc: r.plugin.Doc,
	}
	for _, name := range r.order {
		response.Steps = append(response.Steps, r.steps[name].declared)
	}
	for _, name := range r.kinds {
		resource := r.resources[name]
		response.Resources = append(response.Resources, &wire.Resource{
			Name: resource.name, Doc: resource.doc, Config: encodedFields(resource.config.fields),
			ConfigOpen: resource.config.open,
		})
	}
	return response
}
