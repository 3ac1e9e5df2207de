package heddle

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-lang/heddle/sdk/go/internal/payload"
	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// link is how a binding stands in a chain: what its step takes of the table before it, and what the table
// behind it must be. A step that does not do exactly that is left to the engine, which calls it by itself.
type link struct {
	takes, gives *arrow.Schema
	returns      map[string]bool
	open         bool
	rows         string
}

func decodedLink(told *wire.Link) (*link, error) {
	if told == nil {
		return nil, nil
	}
	takes, err := payload.ReadSchema(told.GetTakes())
	if err != nil {
		return nil, protocolError("a link's input cannot be read: %s", err)
	}
	gives, err := payload.ReadSchema(told.GetGives())
	if err != nil {
		return nil, protocolError("a link's output cannot be read: %s", err)
	}
	result := &link{takes: takes, gives: gives, returns: map[string]bool{}, open: told.GetOpen(), rows: told.GetRows()}
	for _, name := range told.GetReturns() {
		result.returns[name] = true
	}
	return result, nil
}

// taken is what the step is given of a table; nil when that does not fit.
func (l *link) taken(table *Table, scope *scope) *Table {
	from := make([]source, l.takes.NumFields())
	for i, field := range l.takes.Fields() {
		from[i] = source{table, field.Name}
	}
	return assembled(scope, l.takes, table, from)
}

// given is the table behind the step, of the one before it and what the step returned for `taken`; nil when
// that is not what the link says.
func (l *link) given(before, taken, returned *Table, scope *scope) *Table {
	switch {
	case l.rows == "map" && returned.rows != before.rows, l.rows == "filter" && returned.rows > before.rows:
		return nil
	}
	own := map[string]bool{}
	for _, name := range returned.Names() {
		if own[name] || !l.open && !l.returns[name] && !l.stayed(name, taken, returned) {
			return nil
		}
		own[name] = true
	}
	for name := range l.returns {
		if !own[name] {
			return nil
		}
	}
	from := make([]source, l.gives.NumFields())
	for i, field := range l.gives.Fields() {
		switch {
		case own[field.Name] && (l.open || l.returns[field.Name]):
			from[i] = source{returned, field.Name}
		case l.rows == "map":
			from[i] = source{before, field.Name}
		default:
			return nil
		}
	}
	return assembled(scope, l.gives, returned, from)
}

// stayed tells whether a column that travels past the step came back as it went in.
func (l *link) stayed(name string, taken, returned *Table) bool {
	if l.rows != "map" || len(l.gives.FieldIndices(name)) == 0 {
		return false
	}
	given := taken.schema.FieldIndices(name)
	if len(given) == 0 || len(taken.batches) != len(returned.batches) {
		return false
	}
	place := returned.schema.FieldIndices(name)[0]
	for i, batch := range returned.Batches() {
		if !payload.Same(batch.Column(place).Data(), taken.batches[i].Column(given[0]).Data()) {
			return false
		}
	}
	return true
}

// source is a column of a table.
type source struct {
	table *Table
	name  string
}

// assembled is a table of columns of other tables, with the rows of `like`; nil when a column is not there, is
// of another type than the schema says, or has a null too many.
func assembled(scope *scope, schema *arrow.Schema, like *Table, from []source) *Table {
	layout, loose := like.Batches(), nullable(schema)
	columns := make([][]arrow.Array, len(from))
	for i, source := range from {
		parts := source.parts(schema.Field(i))
		if parts == nil {
			return nil
		}
		columns[i] = parts
	}
	for _, parts := range columns {
		if !slices.EqualFunc(parts, layout, func(part arrow.Array, batch arrow.RecordBatch) bool {
			return int64(part.Len()) == batch.NumRows()
		}) {
			return recut(scope, loose, like.rows, columns)
		}
	}
	batches := make([]arrow.RecordBatch, len(layout))
	for i, batch := range layout {
		row := make([]arrow.Array, len(columns))
		for at, parts := range columns {
			row[at] = parts[i]
		}
		batches[i] = array.NewRecordBatch(loose, row, batch.NumRows())
	}
	return newTable(scope, loose, batches)
}

// nullable is the schema as steps are given it, and as the engine sends it.
func nullable(schema *arrow.Schema) *arrow.Schema {
	fields := slices.Clone(schema.Fields())
	for i := range fields {
		fields[i].Nullable = true
	}
	return arrow.NewSchema(fields, nil)
}

// parts are the column's arrays, one for each batch; nil when it is not what the field says.
func (s source) parts(field arrow.Field) []arrow.Array {
	places := s.table.schema.FieldIndices(s.name)
	if len(places) != 1 || !arrow.TypeEqual(s.table.schema.Field(places[0]).Type, field.Type) {
		return nil
	}
	parts := make([]arrow.Array, len(s.table.Batches()))
	for i, batch := range s.table.Batches() {
		parts[i] = batch.Column(places[0])
		if !field.Nullable && parts[i].NullN() > 0 {
			return nil
		}
	}
	return parts
}

// recut is a table of one batch, of columns that are cut differently.
func recut(scope *scope, schema *arrow.Schema, rows int64, columns [][]arrow.Array) *Table {
	whole := make([]arrow.Array, len(columns))
	defer func() {
		for _, column := range whole {
			if column != nil {
				column.Release()
			}
		}
	}()
	for i, parts := range columns {
		table := &Table{schema: arrow.NewSchema([]arrow.Field{schema.Field(i)}, nil)}
		for _, part := range parts {
			batch := array.NewRecordBatch(table.schema, []arrow.Array{part}, int64(part.Len()))
			defer batch.Release()
			table.batches = append(table.batches, batch)
		}
		table.refs.Store(1)
		column, err := table.concatenated(0)
		if err != nil || int64(column.Len()) != rows {
			return nil
		}
		whole[i] = column
	}
	return newTable(scope, schema, []arrow.RecordBatch{array.NewRecordBatch(schema, whole, rows)})
}

// chain runs the steps of a chain and sends the table behind the last one that did what its link says. Its
// failure is that of the step behind them. Its error ends the lane.
func (l *lane) chain(ctx context.Context, told *wire.Call, input *input) (done uint32, failure *wire.Failure, err error) {
	defer input.close()
	if input.problem != nil {
		return 0, failureOf(input.problem), nil
	}
	if input.table == nil {
		return 0, failureOf(protocolError("a chain came without an input")), nil
	}
	bound, contexts, problem := l.members(told)
	if problem != nil {
		return 0, failureOf(problem), nil
	}
	defer l.watch.during(func() { l.host.cancel(told.GetCallId()) })()
	table := input.table
	for number, member := range bound {
		call := newCall(ctx, member, contexts[number], table.NumRows(), &memberReporter{l, uint32(number)})
		behind, failed := l.member(call, member, table, input)
		if ctx.Err() != nil {
			return 0, cancelledFailure(ctx.Err()), nil
		}
		if failed != nil {
			failure = failureOf(failed)
			break
		}
		if behind == nil {
			break
		}
		table, done = behind, done+1
		if table.rows == 0 {
			break
		}
	}
	if done > 0 {
		err = guarded(func() error { return l.sendTable(table, input) })
	}
	switch {
	case errors.Is(err, errLane):
		return 0, nil, errLane
	case err != nil:
		return 0, failureOf(err), nil
	}
	return done, failure, nil
}

// members are the bindings of a chain and what their calls are told.
func (l *lane) members(told *wire.Call) (bound []*binding, contexts []*wire.Context, err error) {
	ids, contexts := []uint64{told.GetBindingId()}, []*wire.Context{told.GetContext()}
	for _, follower := range told.GetFollowers() {
		ids = append(ids, follower.GetBindingId())
		own := proto.CloneOf(told.GetContext())
		own.Step, own.IdempotencyKey = follower.GetStep(), follower.IdempotencyKey
		contexts = append(contexts, own)
	}
	for _, id := range ids {
		member, err := l.host.binding(id)
		if err != nil {
			return nil, nil, err
		}
		if member.link == nil {
			return nil, nil, protocolError("the binding %d has no link, and stands in a chain", id)
		}
		bound = append(bound, member)
	}
	return bound, contexts, nil
}

// member calls a step of a chain; nil is a table that is not what its link says.
func (l *lane) member(call *Call, bound *binding, table *Table, input *input) (behind *Table, err error) {
	taken := bound.link.taken(table, &input.scope)
	if taken == nil {
		return nil, nil
	}
	returned, err := bound.run(call, taken, func(*Table) error { return nil })
	rejections, refused := call.end()
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	if len(rejections) == 0 && returned != nil {
		behind = bound.link.given(table, taken, returned, &input.scope)
		input.giveUp(returned)
	}
	return behind, nil
}

// memberReporter says of what a step of a chain reports which step it was.
type memberReporter struct {
	lane   *lane
	number uint32
}

func (m *memberReporter) log(entry *wire.Log) {
	_ = m.lane.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Log{Log: entry}, Member: m.number})
}

func (m *memberReporter) progress(progress *wire.Progress) {
	_ = m.lane.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Progress{Progress: progress}, Member: m.number})
}

func (m *memberReporter) metric(metric *wire.Metric) {
	_ = m.lane.send(&wire.PluginFrame{Kind: &wire.PluginFrame_Metric{Metric: metric}, Member: m.number})
}
