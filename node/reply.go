package node

import (
	"strconv"
	"time"
)

// A Value is what a worker's source produced: an integer or bytes. The zero Value is empty bytes.
// It is immutable and comparable.
type Value struct {
	data  string // the bytes, or the integer in decimal
	isInt bool
}

// IntValue returns an integer value.
func IntValue(n int64) Value { return Value{data: strconv.FormatInt(n, 10), isInt: true} }

// BytesValue returns a value of bytes, usually text.
func BytesValue(s string) Value { return Value{data: s} }

// Int returns the integer, and whether the value is one.
func (v Value) Int() (int64, bool) {
	if !v.isInt {
		return 0, false
	}
	n, err := strconv.ParseInt(v.data, 10, 64)
	return n, err == nil
}

// String returns the bytes, or the integer in decimal.
func (v Value) String() string { return v.data }

// A Reply is a worker's answer.
type Reply struct {
	Value    Value
	Node     string        // the node whose worker answered
	Cached   bool          // the worker had the value already
	Degraded bool          // the owner could not be reached: a worker of another node answered
	Age      time.Duration // since the worker started
	TTL      time.Duration // until the worker expires
}

// A Connection is what became of one name of [Node.Connect]. Err is nil if the node is connected,
// or is this node.
type Connection struct {
	Name string
	Err  error
}

// State is what a node thinks of a member.
type State uint8

const (
	Alive  State = iota
	Failed       // it cannot be reached; it keeps its seat until it leaves or is reaped
	Stuck        // it answers pings but no calls
)

func (s State) String() string {
	switch s {
	case Failed:
		return "failed"
	case Stuck:
		return "stuck"
	}
	return "alive"
}

// A Member is one seat of the cluster, as one node sees it.
type Member struct {
	Name        string // NAME@HOST
	Addr        string // where it listens, host:port
	State       State
	Incarnation uint64 // of the process: a later start has a higher one
}

// WorkerInfo describes a live worker.
type WorkerInfo struct {
	Kind  string
	ID    ID
	Node  string
	Age   time.Duration // since the worker started
	TTL   time.Duration // until it expires; 0 while it loads
	Hits  uint64        // calls answered from its value
	Queue int           // calls that wait for its value
}
