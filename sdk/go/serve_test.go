package heddle

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

func TestEndOfStdinEndsTheProcess(t *testing.T) {
	engine := startEngine(t)
	opened, err := engine.control.OpenResource(t.Context(), &wire.OpenResourceRequest{Type: "closer", Name: "c"})
	if err != nil || opened.GetFailure() != nil {
		t.Fatal(opened, err)
	}
	_ = engine.stdin.Close()
	engine.ends(5 * time.Second)
	if !strings.Contains(engine.stderr.String(), "c: closed with a problem") {
		t.Errorf("stderr %q", engine.stderr)
	}
}

func TestAHangingStepDoesNotKeepTheProcess(t *testing.T) {
	engine := startEngine(t)
	engine.lane().begin(engine.bind("hang"), numbersTo(1), options{})
	_ = engine.stdin.Close()
	engine.ends(5 * time.Second)
}

func TestSIGTERMEndsAndSIGINTDoesNot(t *testing.T) {
	engine := startEngine(t)
	_ = engine.process.Process.Signal(syscall.SIGINT)
	if engine.lane().call(engine.bind("identity"), numbersTo(1), options{}).failure != nil {
		t.Error("SIGINT hurt the plugin")
	}
	_ = engine.process.Process.Signal(syscall.SIGTERM)
	engine.ends(5 * time.Second)
}

func TestByHandItShowsWhatItOffers(t *testing.T) {
	var text strings.Builder
	registry, err := compile(testPlugin)
	if err != nil {
		t.Fatal(err)
	}
	describe(&text, registry)
	for _, part := range []string{"step double {}", "{x: int, ..} -> {x: int, ..}", "passthrough", "resource closer"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, &text)
		}
	}
}

func TestTheHandshakeNamesBothRanges(t *testing.T) {
	engine := startEngine(t)
	for side, versions := range map[string][2]uint32{"update the plugin's SDK": {2, 3}, "update Heddle": {0, 0}} {
		answer, err := engine.control.Handshake(t.Context(), &wire.HandshakeRequest{
			ProtocolMin: versions[0], ProtocolMax: versions[1],
		})
		if err != nil || answer.GetProtocol() != 0 || !strings.Contains(answer.GetFailure().GetMessage(), side) {
			t.Errorf("%v %v", answer, err)
		}
	}
}

func TestCancel(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	binding := engine.bind("until cancelled")
	call := lane.begin(binding, numbersTo(1), options{})
	if _, err := engine.control.Cancel(t.Context(), &wire.CancelRequest{CallId: call.GetCallId()}); err != nil {
		t.Fatal(err)
	}
	result := lane.finish(options{})
	mustFail(t, result.failure, wire.Failure_CANCELLED, "canceled")
	if result.failure.GetErrorType() != "CancelledError" {
		t.Errorf("error type %s", result.failure.GetErrorType())
	}
	if _, err := engine.control.Cancel(t.Context(), &wire.CancelRequest{CallId: engine.calls + 1}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, lane.call(binding, numbersTo(1), options{}).failure, wire.Failure_CANCELLED, "")
}

func TestAClosedLaneCancelsItsCall(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	lane.begin(engine.bind("until cancelled"), numbersTo(1), options{})
	for callsUnderWay(t, engine) != 1 {
		time.Sleep(time.Millisecond)
	}
	_ = lane.conn.Close()
	deadline := time.Now().Add(5 * time.Second)
	for callsUnderWay(t, engine) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the call goes on")
		}
		time.Sleep(time.Millisecond)
	}
}

func callsUnderWay(t *testing.T, engine *engine) uint32 {
	t.Helper()
	health, err := engine.control.Health(t.Context(), &wire.HealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return health.GetCalls()
}

func TestASourceStreamsUntilItIsCancelled(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	call := lane.begin(engine.bindWith("slow numbers", `{"seconds": 0.001}`), nil, options{})
	frame := &wire.PluginFrame{}
	if err := lane.conn.Read(frame); err != nil || frame.GetBatch() == nil {
		t.Fatalf("%v %v", frame, err)
	}
	if _, err := engine.control.Cancel(t.Context(), &wire.CancelRequest{CallId: call.GetCallId()}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, lane.finish(options{}).failure, wire.Failure_CANCELLED, "")
}

func TestDrainWaitsAndTellsWhatClosingRaised(t *testing.T) {
	engine := startEngine(t)
	lane := engine.lane()
	if _, err := engine.control.OpenResource(t.Context(), &wire.OpenResourceRequest{Type: "closer", Name: "c"}); err != nil {
		t.Fatal(err)
	}
	call := lane.begin(engine.bind("until cancelled"), numbersTo(1), options{})
	for callsUnderWay(t, engine) != 1 {
		time.Sleep(time.Millisecond)
	}
	drained := make(chan *wire.DrainResponse, 1)
	go func() {
		response, _ := engine.control.Drain(context.Background(), &wire.DrainRequest{})
		drained <- response
	}()
	select {
	case <-drained:
		t.Fatal("the call under way was not waited for")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := engine.control.Cancel(t.Context(), &wire.CancelRequest{CallId: call.GetCallId()}); err != nil {
		t.Fatal(err)
	}
	if problems := (<-drained).GetProblems(); len(problems) != 1 || problems[0] != "c: closed with a problem" {
		t.Errorf("problems %q", problems)
	}
	lane.finish(options{})
	mustFail(t, lane.call(engine.bind("identity"), numbersTo(1), options{}).failure, wire.Failure_PROTOCOL, "draining")
}

func TestAPluginThatCannotBeSaysSo(t *testing.T) {
	if os.Getenv("HEDDLE_TEST_BROKEN") != "" {
		Serve(Plugin{Namespace: "broken", Offers: []Offer{
			Step[NoConfig]{Name: "a", Slots: []Slot{{Name: "db"}}, Run: func(*Call, NoConfig, *Table) (*Table, error) {
				return nil, io.EOF
			}},
		}})
	}
	process := exec.Command(os.Args[0], "-test.run", t.Name())
	process.Env = append(os.Environ(), "HEDDLE_TEST_BROKEN=1")
	output, err := process.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "the step `a` uses the resource `db`") {
		t.Errorf("%v: %s", err, output)
	}
}
