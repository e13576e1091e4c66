package main

import (
	"context"
	"os/exec"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// The kind of a node of the harness whose servers are programs. When the node is killed, its programs must not go on
// beside those of the next process of that node.

const (
	programKind = "program"
	programIDs  = 6
	programRate = 1 // pairs of messages a second by each node
)

const ruleProgram rule = "two programs of an id at once on one node"

// programSource is a program that locks a file of its node and id, works for 50 to 500 ms, and leaves a process in
// the background that has the lock, too. It puts on record, in the file of its node's process, when it had the lock,
// or that it could not have it.
const programSource = `exec:sh -c '
record() {
	read -r up rest </proc/uptime
	echo "{\"Program\":{\"ID\":$DISTPROC_ID,\"Up\":$up,\"$1\":true}}" >>"$FAULT_RECORD"
}
read -r message
exec 9>>"$HOME/$DISTPROC_NODE.$DISTPROC_ID.lock"
if ! flock -n 9; then
	record Overlap
	exit 1
fi
record Begun
sleep 10 >/dev/null 2>&1 &
sleep $(printf 0.%03d $((50 + message % 450)))
record Done
echo $message'`

// A programEntry is what a program puts on record.
type programEntry struct {
	ID                   int64
	Up                   float64 // seconds since the machine started
	Begun, Done, Overlap bool
}

func hasFlock() bool {
	_, err := exec.LookPath("flock")
	return err == nil
}

// programs returns the kind, or false where there is no flock.
func programs(nodeName string) (kind worker.Kind, ok bool, err error) {
	if !hasFlock() {
		return kind, false, nil
	}
	open, err := source.ParseSerial(programSource, source.Env{Kind: programKind, Node: nodeName})
	return worker.Serial{TTL: serialTTL, Open: open}, true, err
}

// sendToProgram returns what sends a message to the program of an id. It is of no interest whether that fails: the
// programs record.
func (r *recorder) sendToProgram(f node.Family) func(id int64) {
	return func(id int64) {
		_, _ = f.Call(context.Background(), worker.IntID(id), worker.IntValue(r.number.Add(1)))
	}
}

// checkPrograms checks that no program found another one of its node and id at work.
func (r *report) checkPrograms() {
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
