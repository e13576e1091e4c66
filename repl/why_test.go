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

// TestWhyOfStrictKinds says who acts for an id by the view of the voters, and what it waits
// for.
func TestWhyOfStrictKinds(t *testing.T) {
	t.Parallel()
	e := node.Explanation{
		ID: worker.IntID(7), Kind: "account", Owner: "2@h", State: node.StateFailed, Fallback: "1@h", Asked: "3@h", Serial: true, TTL: time.Minute,
	}
	good := worker.Quorum{Lease: 1800 * time.Millisecond, Epoch: 5, Views: 1, Quorum: true, Voter: true}
	lost := worker.Quorum{Epoch: 5, Views: 2, Why: "no answer of 1@h (unreachable), of 3 voters"}
	for name, c := range map[string]struct {
		custody worker.Custody
		want    []string
	}{
		"well": {worker.Custody{Quorum: good, Node: "3@h", Acting: "3@h"}, []string{
			"of the strict kind account", "acts         3@h, in view 5 of the voters\n", "3@h has one for another 1.8s", "none; a call would start one on 3@h",
			"calls wait for the end of its lease; then another node acts",
		}},
		"stuck": {worker.Custody{Quorum: good, Node: "3@h", Acting: "3@h", Runs: 12 * time.Second, Stuck: true, Waits: "what runs", Token: worker.Token{Epoch: 5, Count: 6}}, []string{
			"waits for  what runs\n", "force=True", "0000000000000005.0000000000000006",
		}},
		"moved": {worker.Custody{Quorum: good, Node: "3@h", Acting: "3@h", Occupied: "2@h", Waits: "2@h, which acted", Holders: []worker.Holder{{Member: "2@h", Epoch: 4, Busy: 1}, {Member: "1@h", Epoch: 4}}}, []string{
			"2@h holds view 4, and still runs calls of 1 id", "1@h holds view 4, until it gives that up", "waits for   2@h, which acted", "if a call on 2@h does not end", "none on 3@h",
		}},
		"lost":  {worker.Custody{Quorum: lost, Node: "3@h", Acting: "2@h", Waits: "a quorum: no answer of 1@h"}, []string{"3@h has none, and starts no call", "waits for  a quorum: no answer of 1@h", "2@h, in view 5 of the voters, the newest one that 3@h has"}},
		"new":   {worker.Custody{Node: "3@h"}, []string{"nobody yet, as far as 3@h knows"}},
		"alone": {worker.Custody{Quorum: good, Node: "3@h"}, []string{"nobody: all members have failed in view 5"}},
	} {
		e := e
		e.Custody = &c.custody
		e.Live, e.Loading = c.custody.Stuck, c.custody.Stuck
		text := explain(e).String()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "takes over when all members know it") {
			t.Errorf("%s: the members' view does not decide:\n%s", name, text)
		}
	}
}

// TestAccountWraps has an account on a narrow terminal: it breaks between words, and each line
// goes on below its text.
func TestAccountWraps(t *testing.T) {
	t.Parallel()
	a := &account{}
	a.say("id", "7")
	a.say("waits for", "an answer of 2@127.0.0.1, and averyveryverylongwordthatfitsnowhere at all")
	const want = "id         7\n" +
		"waits for  an answer of\n" +
		"           2@127.0.0.1, and\n" +
		"           averyveryverylongwordthatfitsnowhere\n" +
		"           at all"
	if got := a.styled(style{cols: 28}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := a.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("without a terminal it wraps:\n%s", got)
	}
}
