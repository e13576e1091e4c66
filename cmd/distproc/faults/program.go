//go:build unix

package faults

import (
	"context"
	"os/exec"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// The kind whose servers are programs. When a node is killed, its programs must not go on
// beside those of the node's next process.

const (
	programKind = "program"
	programIDs  = 6
	programRate = 1 // pairs of messages a second by each node
)

// programSource is a program that locks a file of its node and id, works for 50 to 500
// ms, and leaves a process in the background that has the lock, too. In the record of its
// node's process it notes when it had the lock, or that it could not get it.
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

// hasFlock reports whether there is flock, which is part of util-linux. The kind takes
// it.
func hasFlock() bool {
	_, err := exec.LookPath("flock")
	return err == nil
}

// programs returns the kind for a node of that name.
func programs(nodeName string) (worker.Kind, error) {
	open, err := source.ParseSerial(programSource, source.Env{Kind: programKind, Node: nodeName})
	return worker.Serial{TTL: serialTTL, Open: open}, err
}

// sendToProgram returns a function that sends a message to the program of an id. It
// ignores errors, as the programs themselves record.
func (r *recorder) sendToProgram(f node.Family) func(id int64) {
	return func(id int64) {
		_, _ = f.Call(context.Background(), worker.IntID(id), worker.IntValue(r.number.Add(1)))
	}
}
