package heddle

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

func numbersTo(count int) *Table {
	rows := make([]number, count)
	for i := range rows {
		rows[i].X = int64(i)
	}
	return TableOf(rows)
}

func sumOf(t *testing.T, tables []*Table) (sum int64) {
	t.Helper()
	for _, table := range tables {
		values, err := Values[int64](table, "x")
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			sum += value
		}
	}
	return sum
}

const manyRows = 100_000

const manySum = int64(manyRows) * (manyRows - 1) / 2

func TestUntouchedColumnsStay(t *testing.T) {
	lane := startEngine(t).lane()
	for _, shared := range []bool{false, true} {
		result := lane.call(lane.engine.bind("identity"), numbersTo(100), options{shared: shared})
		if len(result.columns) != 1 || !slices.Equal(result.columns[0], []int32{-1}) {
			t.Errorf("columns %v", result.columns)
		}
		if got := result.tables[0].NumRows(); got != 100 {
			t.Errorf("the batch without columns has %d rows", got)
		}
	}
}

func TestOutputGoesWhereThereIsRoom(t *testing.T) {
	lane := startEngine(t).lane()
	binding := lane.engine.bind("copy")
	for name, want := range map[string]struct {
		with   options
		needs  int
		slices int
	}{
		"the call's grant":          {options{grant: 1 << 20}, 0, 1},
		"a grant that is too small": {options{grant: 1 << 12}, 1, 1},
		"no grant":                  {options{}, 1, 1},
		"no memory":                 {options{noMemory: true}, 1, 0},
	} {
		result := lane.call(binding, numbersTo(manyRows), want.with)
		if len(result.needs) != want.needs || len(result.slices) != want.slices || result.failure != nil {
			t.Errorf("%s: needs %v, slices %d, failure %v", name, result.needs, len(result.slices), result.failure)
		}
		if got := sumOf(t, result.tables); got != manySum {
			t.Errorf("%s: sum %d", name, got)
		}
	}
}

func TestWithoutMemoryFramesStaySmall(t *testing.T) {
	lane := startEngine(t).lane()
	table := numbersTo(5_000_000)
	result := lane.call(lane.engine.bind("copy"), table, options{shared: true, noMemory: true})
	if len(result.tables) < 3 || result.failure != nil {
		t.Errorf("%d batches, failure %v", len(result.tables), result.failure)
	}
	if got := sumOf(t, result.tables); got != int64(5_000_000)*4_999_999/2 {
		t.Errorf("sum %d", got)
	}
}

func TestInputIsReadInPlace(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	lane.begin(engine.bind("addresses"), numbersTo(manyRows), options{shared: true, parts: 3})
	result := lane.finish(options{})
	places, err := Rows[place](result.tables[0])
	if err != nil || len(places) != 3 {
		t.Fatalf("%v %v", places, err)
	}
	mapped := sharedRanges(t, engine.process.Process.Pid)
	for _, place := range places {
		inside := slices.ContainsFunc(mapped, func(r [2]int64) bool {
			return r[0] <= place.At && place.At+8*place.Length <= r[1]
		})
		if !inside || place.At%8 != 0 {
			t.Errorf("%x is not in shared memory %x", place.At, mapped)
		}
	}
	if len(result.released) != 3 {
		t.Errorf("released %v", result.released)
	}
}

// sharedRanges are the addresses at which a process maps segments for reading.
func sharedRanges(t *testing.T, pid int) (ranges [][2]int64) {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var start, end int64
		if strings.Contains(lines.Text(), "memfd:segment") && strings.Contains(lines.Text(), "r--s") {
			if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &start, &end); err != nil {
				t.Fatal(err)
			}
			ranges = append(ranges, [2]int64{start, end})
		}
	}
	return ranges
}

func TestSegmentsAreReleasedInTheResult(t *testing.T) {
	lane := startEngine(t).lane()
	for _, step := range []string{"identity", "copy", "double", "own record", "panic"} {
		result := lane.call(lane.engine.bind(step), numbersTo(manyRows), options{shared: true})
		if len(result.released) != 1 {
			t.Errorf("%s: released %v", step, result.released)
		}
	}
}

func TestKeptTablesStayUntilTheyAreReleased(t *testing.T) {
	lane := startEngine(t).lane()
	for range 2 {
		result := lane.call(lane.engine.bind("keep"), numbersTo(manyRows), options{shared: true})
		if len(result.released) != 0 {
			t.Errorf("released %v", result.released)
		}
	}
	result := lane.call(lane.engine.bind("let go"), nil, options{})
	if got := sumOf(t, result.tables); got != 2*manySum || len(result.released) != 2 {
		t.Errorf("sum %d, released %v", got, result.released)
	}
}

func TestReferencesThatNobodyReleasesEndWithTheCollector(t *testing.T) {
	lane := startEngine(t).lane()
	leak := lane.engine.bind("leak")
	table := numbersTo(5_000_000)
	released := 0
	for begin := time.Now(); released == 0; {
		released += len(lane.call(leak, table, options{shared: true}).released)
		if time.Since(begin) > 20*time.Second {
			t.Fatal("no segment was released")
		}
	}
}

func TestForgottenSegmentsAreUnmapped(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	identity := engine.bind("identity")
	lane.call(identity, numbersTo(manyRows), options{shared: true})
	if len(sharedRanges(t, engine.process.Process.Pid)) != 1 {
		t.Fatal("the segment is not mapped")
	}
	lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: &wire.Call{
		CallId: 99, BindingId: identity, HasInput: true, End: true, Forgotten: []uint64{lastSegment.Load()},
		Batch: lane.batch(encoded(t, numbersTo(1).Schema(), numbersTo(1).Batches()...), false),
	}}})
	lane.finish(options{})
	if mapped := sharedRanges(t, engine.process.Process.Pid); len(mapped) != 0 {
		t.Errorf("still mapped: %x", mapped)
	}
}

func TestAnInputInSeveralBatches(t *testing.T) {
	lane := startEngine(t).lane()
	binding := lane.engine.bind("double")
	for _, shared := range []bool{false, true} {
		lane.begin(binding, numbersTo(1000), options{shared: shared, parts: 3})
		result := lane.finish(options{})
		if got := sumOf(t, result.tables); got != 3*2*1000*999/2 || result.columns[0] != nil {
			t.Errorf("sum %d, columns %v", got, result.columns)
		}
	}
}

func TestAPanicIsTheCallsFailure(t *testing.T) {
	lane := startEngine(t).lane()
	result := lane.call(lane.engine.bind("panic"), numbersTo(1), options{})
	mustFail(t, result.failure, wire.Failure_STEP, "index out of range")
	if !strings.Contains(result.failure.GetStackTrace(), "plugin_test.go") {
		t.Errorf("stack trace %q", result.failure.GetStackTrace())
	}
	if lane.call(lane.engine.bind("identity"), numbersTo(1), options{}).failure != nil {
		t.Error("the lane does not go on")
	}
}

func TestRejectionsCountOverTheWholeInput(t *testing.T) {
	lane := startEngine(t).lane()
	lane.begin(lane.engine.bind("double"), TableOf([]number{{1}, {-1}}), options{parts: 2})
	result := lane.finish(options{})
	if len(result.rejections) != 1 || result.rejections[0].GetErrorType() != "Rejected" {
		t.Fatalf("%v", result.rejections)
	}
	rows := result.rejections[0].GetRows()
	if binary.LittleEndian.Uint64(rows) != 1 || binary.LittleEndian.Uint64(rows[8:]) != 3 || len(rows) != 16 {
		t.Errorf("%v", rows)
	}
}

func TestBadCallsFailAndTheLaneGoesOn(t *testing.T) {
	lane := startEngine(t).lane()
	identity := lane.engine.bind("identity")
	good := numbersTo(1000)
	stream := encoded(t, good.Schema(), good.Batches()...)
	missing := &wire.Batch{Place: &wire.Batch_Slice{Slice: &wire.Slice{
		Segment: &wire.Segment{Id: 1 << 40, Path: "/nowhere", SizeBytes: 4096}, Length: 10,
	}}}
	outside := lane.batch(stream, true)
	outside.GetSlice().Length = 1 << 40
	for name, call := range map[string]*wire.Call{
		"no IPC stream":    {BindingId: identity, HasInput: true, End: true, Batch: lane.batch([]byte("garbage garbage"), false)},
		"a cut stream":     {BindingId: identity, HasInput: true, End: true, Batch: lane.batch(stream[:len(stream)-2000], false)},
		"an empty stream":  {BindingId: identity, HasInput: true, End: true, Batch: lane.batch(encoded(t, good.Schema()), false)},
		"a lost segment":   {BindingId: identity, HasInput: true, End: true, Batch: missing},
		"a slice too long": {BindingId: identity, HasInput: true, End: true, Batch: outside},
		"no batch":         {BindingId: identity, HasInput: true, End: true},
		"no input":         {BindingId: identity},
		"no binding":       {BindingId: 12345},
	} {
		lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: call}})
		result := lane.finish(options{})
		if result.failure.GetKind() != wire.Failure_PROTOCOL {
			t.Errorf("%s: %v", name, result.failure)
		}
	}
	if lane.call(identity, good, options{}).failure != nil {
		t.Error("the lane does not go on")
	}
}

func TestDamagedStreamsDoNoHarm(t *testing.T) {
	lane := startEngine(t).lane()
	identity := lane.engine.bind("copy")
	table := TableOf([]struct {
		X int64
		S *string
	}{{X: 1}, {X: 2}})
	stream := encoded(t, table.Schema(), table.Batches()...)
	for at := range stream {
		damaged := slices.Clone(stream)
		damaged[at] ^= 0x55
		call := &wire.Call{BindingId: identity, HasInput: true, End: true, Batch: lane.batch(damaged, false)}
		lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: call}})
		for {
			frame := &wire.PluginFrame{}
			if err := lane.conn.Read(frame); err != nil {
				t.Fatalf("byte %d: %v: %s", at, err, lane.engine.stderr)
			}
			if frame.GetResult() != nil {
				break
			}
		}
	}
}

func TestGarbageClosesTheLaneOnly(t *testing.T) {
	engine := startEngine(t)
	for _, garbage := range [][]byte{
		{0xff, 0xff, 0xff, 0xff},
		append([]byte{8, 0, 0, 0}, "garbage!"...),
		{4, 0, 0, 0, 0x1a, 0, 0, 0},
		{0, 0, 0, 0},
	} {
		lane := engine.lane()
		if _, err := lane.raw.Write(garbage); err != nil {
			t.Fatal(err)
		}
		_ = lane.raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		if count, err := lane.raw.Read(make([]byte, 1)); count != 0 || os.IsTimeout(err) {
			t.Errorf("%v: the lane is still open: %v", garbage, err)
		}
	}
	if engine.lane().call(engine.bind("identity"), numbersTo(1), options{}).failure != nil {
		t.Error("the plugin does not go on")
	}
}

func TestSchemasMustAgree(t *testing.T) {
	lane := startEngine(t).lane()
	other := TableOf([]place{{1, 2}})
	lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: &wire.Call{
		BindingId: lane.engine.bind("identity"), HasInput: true,
		Batch: lane.batch(encoded(t, numbersTo(1).Schema(), numbersTo(1).Batches()...), true),
	}}})
	batch := lane.batch(encoded(t, other.Schema(), []arrow.RecordBatch{other.Batches()[0]}...), true)
	lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Batch{Batch: batch}})
	lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_End{End: &wire.EndInput{}}})
	result := lane.finish(options{})
	mustFail(t, result.failure, wire.Failure_PROTOCOL, "different columns")
	if len(result.released) != 2 {
		t.Errorf("released %v", result.released)
	}
}
