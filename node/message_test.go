package node

import (
	"strings"
	"testing"

	"github.com/distproc/distproc/node/internal/protocol"
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
