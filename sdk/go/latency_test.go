package heddle

import (
	"fmt"
	"testing"

	"github.com/heddle-lang/heddle/sdk/go/internal/wire"
)

// BenchmarkCall measures calls of another process over a Unix socket, from the encoded input to the result's
// frame.
func BenchmarkCall(b *testing.B) {
	engine := startEngine(b)
	lane := engine.lane()
	for _, step := range []string{"identity", "copy", "double"} {
		for _, rows := range []int{1, 1000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", step, rows), func(b *testing.B) {
				binding := engine.bind(step)
				table := numbersTo(rows)
				batch := lane.batch(encoded(b, table.Schema(), table.Batches()...), rows > 1000)
				grant := &wire.Grant{Segment: lane.segment(1 << 20)}
				if batch.GetSlice() == nil {
					grant = nil
				}
				for b.Loop() {
					engine.calls++
					lane.send(&wire.EngineFrame{Kind: &wire.EngineFrame_Call{Call: &wire.Call{
						CallId: engine.calls, BindingId: binding, Context: &wire.Context{Attempt: 1}, HasInput: true,
						End: true, Batch: batch, Grant: grant,
					}}})
					for {
						frame := &wire.PluginFrame{}
						if err := lane.conn.Read(frame); err != nil {
							b.Fatal(err)
						}
						if result := frame.GetResult(); result != nil {
							if result.GetFailure() != nil {
								b.Fatal(result)
							}
							break
						}
					}
				}
			})
		}
	}
}
