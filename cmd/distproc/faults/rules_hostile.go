//go:build unix

package faults

// The rules for nodes that are used badly: their memory and their logs stay small.

const (
	heapRise = 200 << 20 // bytes that a node may have in use beyond what it had before the first fault
	floodLog = 100 << 10 // bytes that a node may log in the time of a flood
)

const (
	ruleMemory Rule = "a node had too much in memory"
	ruleLog    Rule = "a flood of connections filled the log"
)

// checkHostile checks that nodes bear what is done to them.
func (r *Report) checkHostile() {
	h := r.history
	if len(h.Faults) < 2 {
		return
	}
	first, _ := h.atFirst()
	for _, p := range h.Processes {
		if p.Node == 0 {
			continue
		}
		r.PeakRSS = max(r.PeakRSS, p.Peak)
		for _, s := range p.Sizes {
			r.PeakHeap = max(r.PeakHeap, s.Heap)
			if s.Heap > first.Heap+heapRise {
				r.violate(ruleMemory, "%v node %d: %d MiB in use, at first at most %d", s.At, p.Node, s.Heap>>20, first.Heap>>20)
			}
		}
	}
	for _, f := range h.Faults {
		if f.Kind != faultFlood {
			continue
		}
		r.FloodLog = max(r.FloodLog, f.Logged)
		if f.Logged >= floodLog {
			r.violate(ruleLog, "%v node %v: %d bytes in %v", f.Begin, f.Nodes, f.Logged, f.End-f.Begin)
		}
	}
}
