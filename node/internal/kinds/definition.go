package kinds

import (
	"hash/fnv"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Definitions returns a digest of what each kind is, or "" for one that cannot be
// compared.
func (s *Set) Definitions() map[string]string {
	digests := map[string]string{}
	for _, r := range s.All() {
		digests[r.Name()] = ""
		if d := r.Definition(); d != "" {
			h := fnv.New64a()
			h.Write([]byte(d))
			digests[r.Name()] = strconv.FormatUint(h.Sum64(), 16)
		}
	}
	return digests
}

// Differing returns the names of the kinds that only one of two nodes has, or that they
// define differently, sorted. Both are what Definitions returns.
func Differing(a, b map[string]string) (names []string) {
	for name, d := range a {
		if other, ok := b[name]; !ok || d != other && d != "" && other != "" {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Differences remembers about which kinds other nodes differ, so that it is logged once. The
// zero value is ready to use, by any number of goroutines.
type Differences struct {
	texts sync.Map // of names of kinds, by node
}

// Note logs that a node differs about these kinds, or that it agrees again.
func (d *Differences) Note(log *slog.Logger, node string, names []string) {
	text := strings.Join(names, ", ")
	if text == "" {
		if _, differed := d.texts.LoadAndDelete(node); differed {
			log.Info("kinds agree again", "node", node)
		}
	} else if last, _ := d.texts.Swap(node, text); last != text {
		log.Warn("kinds differ; all nodes should have the same --config", "node", node, "kinds", text)
	}
}
