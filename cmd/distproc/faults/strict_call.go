//go:build unix

package faults

import (
	"fmt"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The calls of strict kinds. Each is an operation on a number that a resource outside of
// the nodes keeps for the id; see resource.go.

// The kinds, which all have the same operations.
const (
	counterKind  = "counter"  // strict; its servers are functions of Go in the nodes
	registerKind = "register" // strict; its servers are the resource itself, as an http source
	looseKind    = "loose"    // as counter, but not strict
)

// An operation is what a call does to the number of its id.
type operation string

const (
	opAdd     operation = "add"     // adds 1
	opGet     operation = "get"     // changes nothing
	opWrite   operation = "write"   // writes New
	opCompare operation = "compare" // writes New if the number is Want
)

// A strictRequest is the message of a call.
type strictRequest struct {
	Message   int64 // which no other call has
	Op        operation
	Want, New int64 `json:",omitempty"`
}

func (r strictRequest) text() string {
	return fmt.Sprintf("%d %s %d %d", r.Message, r.Op, r.Want, r.New)
}

func parseStrict(text string) (r strictRequest, err error) {
	_, err = fmt.Sscan(text, &r.Message, &r.Op, &r.Want, &r.New)
	return r, err
}

// apply returns what becomes of a number.
func (r strictRequest) apply(before int64) (after int64) {
	switch {
	case r.Op == opAdd:
		return before + 1
	case r.Op == opWrite, r.Op == opCompare && before == r.Want:
		return r.New
	}
	return before
}

// A strictCall is a call of a strict kind that has ended. Its answer is the number before
// and after the operation.
type strictCall struct {
	Kind string
	ID   int64
	strictRequest
	span
	Via           int            `json:",omitempty"` // the node that a client asked
	By            callerKind     `json:",omitempty"` // what the client is
	Err           string         `json:",omitempty"`
	Outcome       worker.Outcome `json:",omitempty"` // of one that failed
	Node          int            `json:",omitempty"` // that answered
	Before, After int64          `json:",omitempty"`
}

func (c *strictCall) String() string {
	text := fmt.Sprintf("%s %s", c.Kind, c.text())
	if c.acknowledged() {
		return fmt.Sprintf("%s: %d, then %d, on node %d", text, c.Before, c.After, c.Node)
	}
	return fmt.Sprintf("%s: %v: %s", text, c.Outcome, c.Err)
}

// acknowledged reports whether the caller has an answer.
func (c *strictCall) acknowledged() bool { return c.Err == "" }

// uncertain reports whether the call may have had its effect: once at most, at any time
// after its begin. That includes calls that ran and failed, because the write may have
// failed after the resource had accepted it.
func (c *strictCall) uncertain() bool { return c.Err != "" && c.Outcome != worker.OutcomeNotRun }

// A strictRun is a run of a call: written when it begins, without End, and again when it
// ends.
type strictRun struct {
	Number  int64
	Kind    string
	ID      int64
	Message int64
	Node    int
	Token   worker.Token
	span
	Refused bool `json:",omitempty"` // the resource had seen a newer token
}

// A writeEntry is a change that the resource has accepted.
type writeEntry struct {
	At      time.Duration
	Kind    string
	ID      int64
	Message int64
	Token   worker.Token
	Value   int64 // of the number since
}
