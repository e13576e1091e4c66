package peers

import (
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A Peer is a node as this one reaches it. Its methods may be called from any number of
// goroutines.
type Peer struct {
	Name placement.Name // never changes
	Text string         // of Name
	Self bool           // it is this node

	Relays Relays // ways to it while it cannot be reached

	session atomic.Pointer[wire.Session] // nil if there is none
	lost    atomic.Bool
	refused atomic.Bool
	health  healths
	turned  atomic.Pointer[time.Time] // when lost or AnyStuck last changed; nil if they never did

	// Guarded by Pool.mu:
	addr        string
	incarnation uint64
	hasSlot     bool
	former      bool // of a cluster that this node has left, and not met since
	alive       bool // has a slot, and the cluster can reach it
	up          bool // as the log says
	dial        *dial
	redialing   bool
	again       chan struct{} // of capacity 1: dial now
	used        uint64        // calls on the session when it was last looked at
	since       time.Time     // when the session was registered
}

// Session returns the session to p, or nil if there is none.
func (p *Peer) Session() *wire.Session { return p.session.Load() }

// Lost reports whether the last session to p broke, or the last dial failed.
func (p *Peer) Lost() bool { return p.lost.Load() }

// Turned returns the time at which p was last lost or back, or stuck or no longer so. It
// is zero if p never was lost or stuck.
func (p *Peer) Turned() time.Time {
	if t := p.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// turn notes that p is lost or back, or stuck or no longer so.
func (p *Peer) turn() {
	now := time.Now()
	p.turned.Store(&now)
}

// Refused reports whether no session has come since the last dial failed.
func (p *Peer) Refused() bool { return p.refused.Load() }

// Doubtful reports whether calls of some kind have gone unanswered since the last answer.
func (p *Peer) Doubtful() bool { return p.health.doubt.Load() }

// Stuck reports whether p answers pings, but no calls of a kind.
func (p *Peer) Stuck(kind string) bool { return p.health.stuck(kind) }

// AnyStuck reports whether p is stuck as far as any kind is concerned.
func (p *Peer) AnyStuck() bool { return p.health.anyStuck() }

// RecordSuccess notes that p has answered a call of a kind.
func (p *Peer) RecordSuccess(kind string) { p.health.answered(kind) }

// ProbeNext has that request made next, to find out whether p is still stuck.
func (p *Peer) ProbeNext(request *wire.Request) { p.health.of(request.Kind).probeNext(request) }
