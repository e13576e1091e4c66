package observe

import (
	"context"

	"github.com/distproc/distproc/node/worker"
)

// A Tracer makes spans of what a node or a client does. Package otel has one for
// OpenTelemetry. Its methods may be called from any number of goroutines.
type Tracer interface {
	// Start begins a span. The returned context is that of what the span causes: with
	// worker.WithTrace it names the span as its parent. End is called once, when the span has
	// ended.
	Start(ctx context.Context, s Span) (in context.Context, end func(SpanEnd))
}

// An Op is what a span is of.
type Op uint8

const (
	OpRequest Op = iota // a request or call that a program makes at its node or client
	OpWire              // the same at another node, for which this one waits
	OpLoad              // a run of a source
	OpCall              // a message that a server answers
)

var ops = [...]string{OpRequest: "request", OpWire: "wire", OpLoad: "load", OpCall: "call"}

func (o Op) String() string {
	if int(o) < len(ops) {
		return ops[o]
	}
	return "unknown"
}

// A Span is the beginning of a piece of work for an id.
type Span struct {
	Op   Op
	Kind string // of workers
	ID   worker.ID
	Call bool   // the request has a message
	Node string // where it is: of a request the node that makes it, or that a client is attached to; of a wire span the peer
}

// A SpanEnd is what has become of it.
type SpanEnd struct {
	Reply worker.Reply // of a request; zero if Err is set
	Err   error

	// Waited are the traces of the requests that waited for a load when it ended, each as
	// worker.TraceOf returns it: at most MaxWaited, in no order, one of them maybe the parent.
	Waited []string
}

// MaxWaited bounds [SpanEnd].Waited.
const MaxWaited = 128
