package protocol

import (
	"cmp"
	"slices"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// SortWorkers sorts workers by node, id and kind.
func SortWorkers(list []worker.Info) {
	slices.SortFunc(list, func(a, b worker.Info) int {
		x, _ := placement.ParseName(a.Node) // valid, because it comes from the node
		y, _ := placement.ParseName(b.Node)
		return cmp.Or(x.Compare(y), a.ID.Compare(b.ID), cmp.Compare(a.Kind, b.Kind))
	})
}

// CutWorkers returns the first limit workers of a list. The last one of them counts the
// others.
func CutWorkers(list []worker.Info, limit int) []worker.Info {
	if len(list) <= limit {
		return list
	}
	for _, w := range list[limit:] {
		list[limit-1].LeftOut += 1 + w.LeftOut
	}
	return list[:limit]
}
