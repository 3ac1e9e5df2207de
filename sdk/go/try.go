package heddle

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// Trial is a call of a step in a test.
type Trial struct {
	// Config is the settings: a map, a struct with JSON tags, or JSON text as a json.RawMessage. They are checked
	// as those of a program are.
	Config any
	// Input is nil for a Source.
	Input *Table
	// Resources are the values for the step's slots, open ones or stand-ins for them.
	Resources map[string]any
	// Context ends the call when it is done; nil is context.Background().
	Context context.Context

	RunID, Workflow string
	// Attempt is 1 where it is left at 0.
	Attempt        int
	IdempotencyKey string
	Timeout        time.Duration
	// Base is the program's folder.
	Base string
}

// Outcome is what a step did in a Trial.
type Outcome struct {
	// Table holds the output's rows, those of refused rows included where the step returned them; nil for a Sink.
	Table      *Table
	Rejections []Rejection
	Logs       []LogEntry
	Progress   []ProgressEntry
	Metrics    []MetricEntry
}

// LogEntry is a line that a step logged.
type LogEntry struct {
	Level   string
	Message string
	Fields  map[string]string
}

// ProgressEntry is what a step said of its progress. Total is 0 when it is not known.
type ProgressEntry struct {
	Done, Total int
	Message     string
}

// MetricEntry is a number that a step reported.
type MetricEntry struct {
	Name  string
	Value float64
	Unit  string
}

// Try calls a step of the plugin in this process, without an engine, for a test. Settings and slots are checked
// as the engine has them checked, and the output must have the columns that the step declares. A panic of
// the step is an error.
func Try(plugin Plugin, name string, trial Trial) (*Outcome, error) {
	registry, err := compile(plugin)
	if err != nil {
		return nil, err
	}
	step, ok := registry.steps[name]
	if !ok {
		return nil, fmt.Errorf("the plugin `%s` has no step `%s`", plugin.Namespace, name)
	}
	bound, err := bindTrial(step, trial)
	if err != nil {
		return nil, err
	}
	ctx := trial.Context
	if ctx == nil {
		ctx = context.Background()
	}
	told := &wire.Context{
		RunId: trial.RunID, Workflow: trial.Workflow, Step: name, Attempt: uint32(max(trial.Attempt, 1)),
	}
	if trial.IdempotencyKey != "" {
		told.IdempotencyKey = &trial.IdempotencyKey
	}
	if trial.Timeout > 0 {
		seconds := trial.Timeout.Seconds()
		told.DeadlineS = &seconds
	}
	rows := 0
	if trial.Input != nil {
		rows = trial.Input.NumRows()
	}
	outcome := &Outcome{}
	call := newCall(ctx, bound, told, rows, outcome)
	var streamed []*Table
	outcome.Table, err = bound.run(call, trial.Input, func(table *Table) error {
		streamed = append(streamed, table)
		return nil
	})
	var refused error
	if outcome.Rejections, refused = call.end(); err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	if step.source != nil {
		if outcome.Table, err = joined(streamed, step); err != nil {
			return nil, err
		}
	}
	return outcome, checkOutput(step, outcome.Table)
}

// OpenForTrial opens a resource of the plugin with settings, as a Trial's Config has them.
func OpenForTrial(ctx context.Context, plugin Plugin, name string, config any) (any, error) {
	registry, err := compile(plugin)
	if err != nil {
		return nil, err
	}
	resource, ok := registry.resources[name]
	if !ok {
		return nil, fmt.Errorf("the plugin `%s` has no resource `%s`", plugin.Namespace, name)
	}
	text, err := configJSON(config)
	if err != nil {
		return nil, err
	}
	return resource.openValue(ctx, name, text)
}

func bindTrial(step *step, trial Trial) (*binding, error) {
	text, err := configJSON(trial.Config)
	if err != nil {
		return nil, err
	}
	config, err := decodeConfig(text, step.config, step.of, step.where())
	if err != nil {
		return nil, err
	}
	bound := &binding{
		step: step, config: config.Interface(), resources: map[string]*openResource{}, base: trial.Base,
	}
	given := maps.Clone(trial.Resources)
	for _, slot := range step.declared.GetSlots() {
		value, ok := given[slot.GetName()]
		if !ok && slot.GetRequired() {
			return nil, configError("%s needs a resource in the slot `%s`", step.where(), slot.GetName())
		}
		if ok {
			bound.resources[slot.GetName()] = newOpenResource(0, slot.GetName(), value, 0)
			delete(given, slot.GetName())
		}
	}
	for _, slot := range sortedKeys(given) {
		return nil, configError("%s has no slot `%s`", step.where(), slot)
	}
	return bound, nil
}

func configJSON(config any) (string, error) {
	if config == nil {
		return "{}", nil
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", configError("the settings cannot be written as JSON: %s", err)
	}
	return string(text), nil
}

func joined(tables []*Table, step *step) (*Table, error) {
	if len(tables) == 0 {
		row, err := decodedRow(step.declared.GetOutput())
		if err != nil {
			return nil, err
		}
		return NewTable(row.Schema())
	}
	result := tables[0].Batches()
	for _, table := range tables[1:] {
		result = append(result[:len(result):len(result)], table.Batches()...)
	}
	return NewTable(tables[0].Schema(), result...)
}

// checkOutput holds a table to the columns that the step declares.
func checkOutput(step *step, table *Table) error {
	if table == nil || step.declared.GetOutputFromConfig() {
		return nil
	}
	row, err := decodedRow(step.declared.GetOutput())
	if err != nil {
		return err
	}
	for _, column := range row.Columns {
		index, err := table.index(column.Name)
		if err != nil {
			return contractError("%s: %s", step.where(), err)
		}
		found := table.Schema().Field(index).Type
		if column.Type != nil && !readable(found, column.Type) {
			return contractError("%s returned `%s` as %s, and declares %s", step.where(), column.Name,
				TypeName(found, false), TypeName(column.Type, column.Nullable))
		}
	}
	return nil
}

func (o *Outcome) log(entry *wire.Log) {
	o.Logs = append(o.Logs, LogEntry{entry.GetLevel(), entry.GetMessage(), entry.GetFields()})
}

func (o *Outcome) progress(progress *wire.Progress) {
	o.Progress = append(o.Progress, ProgressEntry{
		int(progress.GetRowsDone()), int(progress.GetRowsTotal()), progress.GetMessage(),
	})
}

func (o *Outcome) metric(metric *wire.Metric) {
	o.Metrics = append(o.Metrics, MetricEntry{metric.GetName(), metric.GetValue(), metric.GetUnit()})
}
