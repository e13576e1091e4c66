//go:build unix

package faults

const ruleProgram Rule = "two programs of an id at once on one node"

// checkPrograms checks that no program found another one of its node and id at work.
func (r *Report) checkPrograms() {
	for _, p := range r.history.Processes {
		for _, e := range p.Programs {
			switch {
			case e.Begun:
				r.Programs++
			case e.Done:
				r.ProgramsDone++
			default:
				r.violate(ruleProgram, "id %d on node %d, which started at %v, %.2f s after the machine", e.ID, p.Node, p.Life.Begin, e.Up)
			}
		}
	}
}
