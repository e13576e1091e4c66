package node

import (
	"log/slog"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/wire"
)

// The log says who does what to this node and its cluster, at level info.

// An actor is whose operation it is: this node's own program's, or a peer's.
type actor struct {
	name string // a node's, or what a client calls itself
	from string // address; empty if it is this node
}

func (n *Node) own() actor { return actor{name: n.name} }

func actorOf(s *wire.Session) actor {
	name := s.Peer().Name
	return actor{name: name[:min(len(name), maxNameLogged)], from: s.RemoteAddr().String()}
}

const maxNameLogged = 100 // bytes

// An audit writes at most 100 lines a second, and counts the others.
type audit struct {
	log   *slog.Logger
	limit *boundedlog.Limit
}

func newAudit(log *slog.Logger) *audit { return &audit{log: log, limit: boundedlog.NewLimit()} }

// note logs what was done.
func (a *audit) note(what string, by actor, fields ...any) {
	leftOut, ok := a.limit.Allow()
	if !ok {
		return
	}
	fields = append(fields, "by", by.name)
	if by.from != "" {
		fields = append(fields, "from", by.from)
	}
	a.log.Info(what, append(fields, leftOut...)...) //nolint:sloglint // the callers' messages are constants
}

// attached logs that a client came, and returns a function that logs that it went. It logs nothing of the
// node itself, which comes as often as it is asked whether it is ready.
func (a *audit) attached(s *wire.Session) (detached func()) {
	if s.Peer().Name == readyName {
		return func() {}
	}
	began, by := time.Now(), actorOf(s)
	a.note("client attached", by)
	return func() {
		calls, _ := s.Used()
		a.note("client detached", by, "after", time.Since(began).Round(time.Millisecond), "calls", calls)
	}
}
