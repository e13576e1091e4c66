//go:build unix

package faults

import (
	"errors"
	"slices"

	"github.com/distproc/distproc/cmd/distproc/internal/netns"
)

// A namespaces network has each node in a network namespace of its own.
type namespaces struct{ *netns.Net }

// twinHost is the host of the second node of a twin.
const twinHost = faultNodes + 1

func newNamespaces() (namespaces, error) {
	n, err := netns.New(twinHost)
	return namespaces{n}, err
}

func (n namespaces) host(i int) string {
	if i == 0 {
		return netns.Outside
	}
	return n.Host(i)
}

func (n namespaces) enter(i int) []string { return n.Enter(i) }

func (n namespaces) strike(f plannedFault) error {
	switch i := f.nodes[0]; f.kind {
	case faultReset:
		return n.Reset(i)
	case faultCut:
		return n.Unplug(i)
	case faultSlow:
		return n.Slow(i)
	case faultTwin:
		return errors.Join(n.Cut(false, twinLinks(f)...), n.divide(f))
	default:
		return n.Cut(f.how == "refused", f.links()...)
	}
}

func (n namespaces) heal(f plannedFault) error {
	switch i := f.nodes[0]; f.kind {
	case faultReset:
		return nil
	case faultCut:
		return n.Plug(i)
	case faultSlow:
		return n.Fast(i)
	case faultTwin:
		return n.Mend(twinLinks(f)...)
	default:
		return n.Mend(f.links()...)
	}
}

// links returns those that a partition cuts.
func (f plannedFault) links() (links []netns.Link) {
	for a := 1; a <= faultNodes; a++ {
		for b := 1; b <= faultNodes; b++ {
			if f.blocks(a, b) {
				links = append(links, netns.Link{From: a, To: b})
			}
		}
	}
	return links
}

// blocks reports whether nothing of node a reaches node b in a partition.
func (f plannedFault) blocks(a, b int) bool {
	hasA, hasB := slices.Contains(f.nodes, a), slices.Contains(f.nodes, b)
	switch f.kind {
	case faultSplit:
		return hasA != hasB
	case faultApart:
		return a != b
	case faultRing:
		apart := slices.Index(f.nodes, a) - slices.Index(f.nodes, b)
		return a != b && apart != 1 && apart != -1 && apart != faultNodes-1 && apart != 1-faultNodes
	case faultPair:
		return a != b && hasA && hasB
	case faultMute:
		return hasA && !hasB
	case faultDeaf:
		return !hasA && hasB
	}
	return false
}
