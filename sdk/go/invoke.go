package heddle

import (
	"context"
	"time"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// newCall is the call of a binding for an input of so many rows.
func newCall(ctx context.Context, bound *binding, told *wire.Context, rows int, reporter reporter) *Call {
	call := &Call{
		Context: ctx, RunID: told.GetRunId(), Workflow: told.GetWorkflow(), Step: told.GetStep(),
		Attempt: int(told.GetAttempt()), begin: time.Now(), base: bound.base, rowCount: rows,
		rejects: bound.step.isMap(), reporter: reporter,
	}
	if told != nil {
		call.idempotencyKey, call.deadline = told.IdempotencyKey, told.DeadlineS
	}
	if call.Step == "" {
		call.Step = bound.step.declared.GetName()
	}
	call.Log = newLogger(call)
	return call
}

// run calls the step with its resources held open. A source's tables go to emit as they are made; the table
// of any other step is returned, nil for a sink. input is nil for a call without input.
func (b *binding) run(call *Call, input *Table, emit func(*Table) error) (output *Table, err error) {
	step := b.step
	if step.run == nil && step.source == nil {
		return nil, unsupportedError("%s is declared, but has no body in this plugin", step.where())
	}
	if input == nil && step.declared.GetInputMode() == "required" {
		return nil, protocolError("%s needs an input, and the call has none", step.where())
	}
	if input != nil && step.source != nil {
		return nil, protocolError("%s takes no input, and the call has one", step.where())
	}
	held, release, err := b.hold()
	if err != nil {
		return nil, err
	}
	defer release()
	call.resources = held
	if input != nil && step.copyInput {
		input = input.Clone()
	}
	err = guarded(func() error {
		if step.source != nil {
			return b.stream(call, emit)
		}
		output, err = step.run(call, b.config, input)
		return err
	})
	if err == nil && step.source == nil && step.declared.GetOutput() != nil && output == nil {
		err = contractError("%s returned nil where a table is wanted", step.where())
	}
	if err != nil {
		return nil, err
	}
	return output, nil
}

func (b *binding) stream(call *Call, emit func(*Table) error) error {
	for table, err := range b.step.source(call, b.config) {
		if err != nil {
			return err
		}
		if table == nil {
			return contractError("%s yielded nil where a table is wanted", b.step.where())
		}
		if err := call.Err(); err != nil {
			return err
		}
		if err := emit(table); err != nil {
			return err
		}
	}
	return nil
}
