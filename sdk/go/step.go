package heddle

import (
	"fmt"
	"iter"
	"reflect"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// RowKind says how a step's output rows belong to its input rows.
type RowKind string

// A Whole step needs all rows at once; it is the default. The rows of the others may come in parts, in
// parallel and together with those of other runs.
const (
	Whole  RowKind = "table"
	Map    RowKind = "map"    // row i of the output belongs to row i of the input
	Filter RowKind = "filter" // the output is a part of the input, its order kept
	Flat   RowKind = "flat"   // each row gives any number of rows
)

// Trait is what a step says of itself where it may also say nothing.
type Trait int8

// The zero value says nothing.
const (
	Yes Trait = 1
	No  Trait = -1
)

func (t Trait) encoded() *bool {
	if t == 0 {
		return nil
	}
	value := t == Yes
	return &value
}

// Slot is a place for a resource in a step's call. Without Resource it is the one named like the slot.
type Slot struct {
	Name     string
	Resource string
	// Optional slots may be left empty.
	Optional bool
}

// Step is a step that takes rows and gives rows. C is a struct with its settings (the README lists their
// types and tags), NoConfig, or map[string]any to take any.
type Step[C any] struct {
	Name string
	Doc  string
	// Input and Output are row types: RowOf, ParseRow, AnyRow. The zero value is AnyRow.
	Input, Output Row
	// OptionalInput steps may stand at a head, where they are called with a nil table.
	OptionalInput bool
	Rows          RowKind
	// Passthrough: columns of the input that the step does not name travel through unchanged.
	Passthrough                       bool
	Deterministic, Idempotent, Effect Trait
	Slots                             []Slot
	// CopyInput gives the step its rows in memory of its own, which needs no care and costs a copy.
	CopyInput bool
	// Infer gives the output's row at plan time, where it depends on the settings. It must not change
	// anything in the world.
	Infer func(call *Call, config C, input Row) (Row, error)
	// Run does the work. A step without it is only declared: programs that use it check, but do not run.
	Run func(call *Call, config C, input *Table) (*Table, error)
}

// Source is a step without input. Run gives its rows as a stream of tables with one schema; an error ends it.
type Source[C any] struct {
	Name                              string
	Doc                               string
	Output                            Row
	Deterministic, Idempotent, Effect Trait
	Slots                             []Slot
	Infer                             func(call *Call, config C) (Row, error)
	Run                               func(call *Call, config C) iter.Seq2[*Table, error]
}

// Sink is a step that takes rows and gives none.
type Sink[C any] struct {
	Name                              string
	Doc                               string
	Input                             Row
	Rows                              RowKind
	Deterministic, Idempotent, Effect Trait
	Slots                             []Slot
	CopyInput                         bool
	Run                               func(call *Call, config C, input *Table) error
}

// One is a stream of one table, for a Source that makes all of its rows at once.
func One(table *Table, err error) iter.Seq2[*Table, error] {
	return func(yield func(*Table, error) bool) { yield(table, err) }
}

// step is a step in the form in which it is called. One of run and source is set, or neither.
type step struct {
	declared  *wire.Step
	config    configSpec
	of        reflect.Type
	copyInput bool
	run       func(call *Call, config any, input *Table) (*Table, error)
	source    func(call *Call, config any) iter.Seq2[*Table, error]
	infer     func(call *Call, config any, input Row) (Row, error)
}

func (s *step) where() string { return fmt.Sprintf("the step `%s`", s.declared.GetName()) }

func (s *step) isMap() bool { return s.declared.GetRows() == string(Map) }

func (s Step[C]) offer(registry *registry) error {
	result := &step{copyInput: s.CopyInput}
	mode := "required"
	if s.OptionalInput {
		mode = "optional"
	}
	result.declared = &wire.Step{
		Name: s.Name, Doc: s.Doc, InputMode: mode, Rows: string(s.Rows), Passthrough: s.Passthrough,
		Deterministic: s.Deterministic.encoded(), Idempotent: s.Idempotent.encoded(), Effect: s.Effect.encoded(),
		OutputFromConfig: s.Infer != nil, Runnable: s.Run != nil,
	}
	if s.Run != nil {
		result.run = func(call *Call, config any, input *Table) (*Table, error) {
			return s.Run(call, config.(C), input)
		}
	}
	if s.Infer != nil {
		result.infer = func(call *Call, config any, input Row) (Row, error) {
			return s.Infer(call, config.(C), input)
		}
	}
	return complete[C](registry, result, s.Slots, &s.Input, &s.Output)
}

func (s Source[C]) offer(registry *registry) error {
	result := &step{declared: &wire.Step{
		Name: s.Name, Doc: s.Doc, InputMode: "none", Rows: string(Whole), Deterministic: s.Deterministic.encoded(),
		Idempotent: s.Idempotent.encoded(), Effect: s.Effect.encoded(), OutputFromConfig: s.Infer != nil,
		Runnable: s.Run != nil,
	}}
	if s.Run != nil {
		result.source = func(call *Call, config any) iter.Seq2[*Table, error] { return s.Run(call, config.(C)) }
	}
	if s.Infer != nil {
		result.infer = func(call *Call, config any, _ Row) (Row, error) { return s.Infer(call, config.(C)) }
	}
	return complete[C](registry, result, s.Slots, nil, &s.Output)
}

func (s Sink[C]) offer(registry *registry) error {
	result := &step{copyInput: s.CopyInput, declared: &wire.Step{
		Name: s.Name, Doc: s.Doc, InputMode: "required", Rows: string(s.Rows),
		Deterministic: s.Deterministic.encoded(), Idempotent: s.Idempotent.encoded(), Effect: s.Effect.encoded(),
		Runnable: s.Run != nil,
	}}
	if s.Run != nil {
		result.run = func(call *Call, config any, input *Table) (*Table, error) {
			return nil, s.Run(call, config.(C), input)
		}
	}
	return complete[C](registry, result, s.Slots, &s.Input, nil)
}

// complete fills in what all kinds of steps have in common. input is nil for a source, output for a sink.
func complete[C any](registry *registry, result *step, slots []Slot, input, output *Row) (err error) {
	declared := result.declared
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", result.where(), err)
		}
	}()
	if declared.Rows == "" {
		declared.Rows = string(Whole)
	}
	switch RowKind(declared.Rows) {
	case Whole, Map, Filter, Flat:
	default:
		return fmt.Errorf("Rows is %q; it is one of heddle.Whole, Map, Filter and Flat", declared.Rows)
	}
	if declared.Deterministic != nil && *declared.Deterministic && declared.Effect != nil && *declared.Effect {
		return fmt.Errorf("Effect and Deterministic exclude each other; drop one")
	}
	result.of = reflect.TypeFor[C]()
	if result.config, err = configOf(result.of); err != nil {
		return err
	}
	declared.Config, declared.ConfigOpen = encodedFields(result.config.fields), result.config.open
	for _, slot := range slots {
		if slot.Resource == "" {
			slot.Resource = slot.Name
		}
		declared.Slots = append(declared.Slots, &wire.Slot{
			Name: slot.Name, Resource: slot.Resource, Required: !slot.Optional,
		})
	}
	if input != nil {
		if declared.Input, err = input.orAny().encoded(); err != nil {
			return err
		}
	}
	if output != nil {
		if declared.Output, err = output.orAny().encoded(); err != nil {
			return err
		}
	}
	return registry.addStep(result)
}

// orAny reads the zero value, which no step can mean as a row without columns, as the open row.
func (r Row) orAny() Row {
	if len(r.Columns) == 0 {
		return AnyRow()
	}
	return r
}
