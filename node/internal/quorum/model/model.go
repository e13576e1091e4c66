// Package model checks the protocol by which strict kinds get one place for each id, at
// any time and under any faults. README.md states that protocol; "rule 9" in a comment of
// this repository is rule 9 of that page. The package shares no code with the product.
//
// The protocol runs in a simulation (sim.go). Processes in slots (node.go) are members
// (member.go, call.go), and voters of a small raft (raft.go), one of which leads
// (leader.go, propose.go). They share a network (network.go) and real time, and each has
// a clock of its own. All that happens follows from a seed. A history (history.go) of all
// runs is then checked.
//
// [Random] strikes a cluster with random faults (faults.go). A [Drill] leads it to one
// rare interleaving (drills.go). [Search] leaves the simulation aside: it tries all
// orders of steps of a tiny cluster (search.go). A [Scene] measures for how long ids have
// no place (scenes.go). A [Mutant] is the protocol with one rule broken (mutants.go). It
// shows that the rule is needed and that its absence is found.
//
// The tests do all of this in a few seconds. The complete table takes some minutes:
//
//	go test ./node/internal/quorum/model -run TestTable -v -model.table
package model
