package repl

import (
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// TestWhyOfSerialKinds tells of workers that take calls in other words: they have no
// value, and no other node answers for them.
func TestWhyOfSerialKinds(t *testing.T) {
	t.Parallel()
	idle := node.Explanation{
		ID: worker.IntID(7), Kind: "account", Owner: "2@h", State: node.StateAlive, Fallback: "1@h", Asked: "2@h", Serial: true, TTL: time.Minute,
		Live: true, Worker: worker.Info{Hits: 3, TTL: time.Second},
	}
	busy, none, lost, apart := idle, idle, idle, idle
	apart.Live, apart.Apart, apart.Fallback = false, true, ""
	busy.Loading, busy.Worker.Queue = true, 2
	none.Live = false
	lost.State = node.StateFailed
	for name, c := range map[string]struct {
		e    node.Explanation
		want []string
	}{
		"idle":  {idle, []string{"running on 2@h", "expires in 1s", "3 calls answered", "1@h takes over when all members know it; until then calls wait"}},
		"busy":  {busy, []string{"busy on 2@h; 2 calls wait"}},
		"none":  {none, []string{"none; a call would start one on 2@h"}},
		"apart": {apart, []string{"none, and none starts on 2@h: it was disconnected", "alone()"}},
		"lost":  {lost, []string{"the owner has failed: 1@h takes over when all members know it; until then calls wait"}},
	} {
		text := explain(c.e).String()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "value") || strings.Contains(text, "degraded") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
