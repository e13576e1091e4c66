package node

import (
	"strconv"
	"strings"
	"time"
	"unique"
)

// A Value is what a worker's source produced: an integer or bytes, which may have a media type. The zero Value is empty
// bytes. It is immutable and comparable.
type Value struct {
	data  string                // the bytes, or the integer in decimal
	media unique.Handle[string] // integerType for an integer; zero if it is not known
}

// integerType marks integers. It is no media type, so no bytes can have it.
var integerType = unique.Make("integer")

// IntValue returns an integer value.
func IntValue(n int64) Value { return Value{strconv.FormatInt(n, 10), integerType} }

// BytesValue returns a value of bytes, usually text.
func BytesValue(s string) Value { return Value{data: s} }

// MediaValue returns a value of bytes with a media type (RFC 9110, section 8.3), such as "application/json". One that
// cannot be such a type is left out.
func MediaValue(mediaType, s string) Value {
	v := Value{data: s}
	if strings.Contains(mediaType, "/") && len(mediaType) <= maxMediaType {
		v.media = unique.Make(mediaType)
	}
	return v
}

const maxMediaType = 256 // bytes

// Int returns the integer, and whether the value is one.
func (v Value) Int() (int64, bool) {
	if !v.isInt() {
		return 0, false
	}
	n, err := strconv.ParseInt(v.data, 10, 64)
	return n, err == nil
}

func (v Value) isInt() bool { return v.media == integerType }

// MediaType returns the media type of the bytes, or "" if it is not known.
func (v Value) MediaType() string {
	if v.isInt() || v.media == (unique.Handle[string]{}) {
		return ""
	}
	return v.media.Value()
}

// String returns the bytes, or the integer in decimal.
func (v Value) String() string { return v.data }

// wireValue makes a value of what crossed the wire.
func wireValue(data, mediaType string, isInt bool) Value {
	if isInt {
		return Value{data, integerType}
	}
	return MediaValue(mediaType, data)
}

// A Reply is a worker's answer.
type Reply struct {
	Value    Value
	Node     string        // the node whose worker answered
	Via      string        // the member that passed the request on, as this node cannot reach Node; empty if it was asked directly
	Cached   bool          // the worker had the value already
	Stale    bool          // the value is past its TTL, and being loaded anew: see Kind.ServeStale
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
	Alive  State = iota // all is well with it
	Failed              // it cannot be reached; it keeps its seat until it leaves or is reaped
	Stuck               // it answers pings but no calls
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
	Hits  uint64        // calls answered from its value, or by its server
	Queue int           // calls that wait for it

	// LeftOut is the number of live workers, about, that a list leaves out behind this one. See [Node.Workers].
	LeftOut int
}
