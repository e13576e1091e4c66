package members

import (
	"fmt"
	"slices"
	"testing"

	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// TestKeepsAll compares views of up to four members, each absent, failed or alive: if the
// later one is said to keep all ids of this node, it does.
func TestKeepsAll(t *testing.T) {
	t.Parallel()
	var all []*peers.Peer
	for i := range 4 {
		name := placement.Name{Node: fmt.Sprint(i), Host: "h"}
		all = append(all, &peers.Peer{Name: name, Text: name.String(), Self: i == 2})
	}
	for _, routing := range []placement.Routing{placement.Modulo, placement.Rendezvous} {
		var views []*View
		for n := range 3 * 3 * 3 * 3 {
			var list []*peers.Peer
			failed := map[*peers.Peer]bool{}
			for _, p := range all {
				state := n % 3 // absent, failed or alive
				n /= 3
				if state > 0 {
					list = append(list, p)
					failed[p] = state == 1
				}
			}
			if slices.Contains(list, all[2]) {
				views = append(views, NewView(list, failed, routing))
			}
		}
		kept := 0
		for _, old := range views {
			for _, v := range views {
				if !v.keepsAll(old) {
					continue
				}
				kept++
				for i := range int64(200) {
					if id := worker.IntID(i); old.Acting(id).Self && !v.Acting(id).Self {
						t.Fatalf("%v: id %v moves from %+v to %+v", routing, id, old.Ring, v.Ring)
					}
				}
			}
		}
		// For each of the three others, 7 of 9 changes are no coming. This node lives.
		if want := map[placement.Routing]int{placement.Rendezvous: 7 * 7 * 7}[routing]; kept != want {
			t.Errorf("%v: %d pairs of views, want %d", routing, kept, want)
		}
	}
}
