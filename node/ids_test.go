package node

import (
	"reflect"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// FuzzIDOnWire has ids cross the wire.
func FuzzIDOnWire(f *testing.F) {
	for _, s := range []string{"7", "-1", "9223372036854775808", "tenant", "", "\x00", strings.Repeat("9", worker.MaxIDLen)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := worker.ParseID(s)
		if err != nil {
			return
		}
		r := protocol.NewRequest("", id)
		if back, err := protocol.IDOf(&r); err != nil || back != id {
			t.Errorf("%q is %#v, and after the wire %#v, %v", s, id, back, err)
		}
	})
}

// TestMessageWithIDs sends a message that holds ids, values and enumerations, as a
// program does: all of them arrive.
func TestMessageWithIDs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type transfer struct {
			To      worker.ID
			Amount  worker.Value
			ByID    map[worker.ID]worker.Value
			State   State
			Reason  worker.EndReason
			Routing placement.Routing
			Timing  Timing
			Outcome worker.Outcome
		}
		id := func(s string) worker.ID {
			v, err := worker.ParseID(s)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, to := range []string{"7", "-1", "tenant é", "", "\xff\x00", "base64:", "base64:YQ==", strings.Repeat("9", 100)} {
			for _, v := range []worker.Value{worker.IntValue(1<<63 - 1), worker.IntValue(-5), worker.BytesValue("text \"x\""), worker.BytesValue(""), worker.BytesValue("\xff"), worker.BytesValue("base64:!"),
				worker.MediaValue("application/json", `{"a":[1,2.5,null]}`), worker.MediaValue("application/json", "1e400"), worker.MediaValue("application/json", "null")} {
				want := transfer{id(to), v, map[worker.ID]worker.Value{id(to): v}, StateStuck, worker.EndCrashed, placement.Rendezvous, 2, worker.OutcomeRan}
				message, err := worker.ValueOf(want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := worker.As[transfer](message)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s arrives as %+v, %v; want %+v", message, got, err, want)
				}
			}
		}
		for _, name := range []string{"State", "Reason", "Routing", "Timing", "Outcome"} {
			if _, err := worker.As[transfer](worker.MediaValue("application/json", `{"`+name+`":"nonsense"}`)); err == nil || !strings.Contains(err.Error(), "nonsense") {
				t.Errorf("%s nonsense: %v", name, err)
			}
		}
	})
}
