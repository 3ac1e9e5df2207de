package heddle

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// logHandler sends what a step logs to the run's log.
type logHandler struct {
	call   *Call
	prefix string
	fields map[string]string
}

func newLogger(call *Call) *slog.Logger { return slog.New(&logHandler{call: call}) }

// Enabled implements slog.Handler: the engine chooses what it shows.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	fields := maps.Clone(h.fields)
	if fields == nil {
		fields = map[string]string{}
	}
	record.Attrs(func(attribute slog.Attr) bool {
		addField(fields, h.prefix, attribute)
		return true
	})
	entry := &wire.Log{Level: levelName(record.Level), Message: clipped(record.Message), Fields: fields}
	h.call.report(func() { h.call.reporter.log(entry) })
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	fields := maps.Clone(h.fields)
	if fields == nil {
		fields = map[string]string{}
	}
	for _, attribute := range attributes {
		addField(fields, h.prefix, attribute)
	}
	return &logHandler{h.call, h.prefix, fields}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{h.call, h.prefix + name + ".", h.fields}
}

const fieldsMax = 64

func addField(fields map[string]string, prefix string, attribute slog.Attr) {
	value := attribute.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		inner := prefix
		if attribute.Key != "" {
			inner += attribute.Key + "."
		}
		for _, member := range value.Group() {
			addField(fields, inner, member)
		}
		return
	}
	if attribute.Key != "" && len(fields) < fieldsMax {
		fields[clipped(prefix+attribute.Key)] = clipped(value.String())
	}
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warning"
	}
	return "error"
}

func sortedKeys[V any](values map[string]V) []string { return slices.Sorted(maps.Keys(values)) }
