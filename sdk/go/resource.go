package heddle

import (
	"context"
	"fmt"
	"io"
	"reflect"
)

// Resource is a thing that steps share, such as a connection. C is a struct with its settings, R the value
// that steps get with Use. When R is an io.Closer it is closed at the end; when it is a HealthChecker it is
// asked now and then. Several calls may use one at once.
type Resource[C, R any] struct {
	Name string
	Doc  string
	Open func(ctx context.Context, config C) (R, error)
}

// HealthChecker is a resource that can tell what is wrong with it; nil when nothing is.
type HealthChecker interface {
	Health(ctx context.Context) error
}

// resourceType is a Resource in the form in which it is opened.
type resourceType struct {
	name   string
	doc    string
	config configSpec
	of     reflect.Type
	open   func(ctx context.Context, config any) (any, error)
}

func (r Resource[C, R]) offer(registry *registry) error {
	of := reflect.TypeFor[C]()
	config, err := configOf(of)
	if err != nil {
		return fmt.Errorf("the resource `%s`: %w", r.Name, err)
	}
	result := &resourceType{name: r.Name, doc: r.Doc, config: config, of: of}
	if r.Open != nil {
		result.open = func(ctx context.Context, config any) (any, error) { return r.Open(ctx, config.(C)) }
	}
	return registry.addResource(result)
}

// openValue opens a resource with settings as JSON; name is the program's name for it.
func (r *resourceType) openValue(ctx context.Context, name, configJSON string) (value any, err error) {
	where := fmt.Sprintf("the resource `%s`", r.name)
	if name != "" && name != r.name {
		where = fmt.Sprintf("the resource `%s` (%s)", name, r.name)
	}
	config, err := decodeConfig(configJSON, r.config, r.of, where)
	if err != nil {
		return nil, err
	}
	if r.open == nil {
		return nil, unsupportedError("%s is declared, but cannot be opened", where)
	}
	err = guarded(func() error {
		value, err = r.open(ctx, config.Interface())
		return err
	})
	return value, err
}

// closeValue closes what can be closed.
func closeValue(value any) error {
	closer, ok := value.(io.Closer)
	if !ok {
		return nil
	}
	return guarded(closer.Close)
}

// healthOf is what is wrong with a resource, or empty.
func healthOf(ctx context.Context, value any) string {
	checker, ok := value.(HealthChecker)
	if !ok {
		return ""
	}
	err := guarded(func() error { return checker.Health(ctx) })
	if err == nil {
		return ""
	}
	if text := clipped(err.Error()); text != "" {
		return text
	}
	return errorType(err)
}
