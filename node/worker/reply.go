package worker

import "time"

// A Reply is a worker's answer.
type Reply struct {
	Value    Value
	Node     string        // the node whose worker answered
	Via      string        // the member that passed the request on, as this node cannot reach Node; empty if it was asked directly
	Cached   bool          // the worker had the value already
	Stale    bool          // the value is past its TTL, and is loaded again: see Cache.StaleWhileRevalidate
	Degraded bool          // the owner could not be reached: a worker of another node answered
	Age      time.Duration // since the worker started
	TTL      time.Duration // until the worker expires
	Token    Token         // of the call, if the kind is strict; else zero
}
