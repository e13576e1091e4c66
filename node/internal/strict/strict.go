// Package strict connects the quorum of a node with the node: it carries the quorum's
// messages over sessions with the members, and raft's over links of their own, and tells the
// quorum which calls run.
package strict

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/distproc/distproc/node/internal/audit"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/kinds"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/quorum"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/route"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// Check returns an error unless a node of a name can have these voters.
func Check(name string, voters []string, dir string) error {
	if err := CheckVoters(voters); err != nil {
		return fmt.Errorf("voters: %w", err)
	}
	if addr, err := placement.ParseAddr(name); err == nil && dir == "" && slices.Contains(voters, addr.Name.String()) {
		return errors.New("a voter needs a data directory: pass --data-dir")
	}
	return nil
}

// CheckVoters returns an error unless these can be the voters of a cluster, which may have none.
func CheckVoters(voters []string) error {
	if len(voters) == 0 {
		return nil
	}
	if n := len(voters); n > 5 || n%2 == 0 {
		return fmt.Errorf("%d of them: there may be 1, 3 or 5, so that a majority is left when one or two are lost", n)
	}
	for i, v := range voters {
		n, err := placement.ParseName(v)
		if err != nil {
			return err
		}
		if n.String() != v {
			return fmt.Errorf("write %s instead of %s", n, v)
		}
		if slices.Contains(voters[:i], v) {
			return fmt.Errorf("%s is named twice", v)
		}
	}
	return nil
}

// New returns the quorum of a node that knows these voters, or nil if there are none. It
// permits nothing before Open.
func New(voters []string, dir string, r placement.Routing, timing string, clock func() time.Duration, log *slog.Logger) *quorum.Quorum {
	if len(voters) == 0 {
		return nil
	}
	return quorum.New(quorum.Config{Routing: r, Timing: Timing(timing), Voters: voters, Dir: dir, Clock: clock, Log: log})
}

// Guard returns the quorum as the kinds know it, or nil.
func Guard(q *quorum.Quorum) registry.Guard {
	if q == nil {
		return nil
	}
	return q
}

// Places returns the quorum as the router knows it, or nil.
func Places(q *quorum.Quorum) route.Places {
	if q == nil {
		return nil
	}
	return q
}

// Open has the quorum of a node, or nil, work.
func Open(q *quorum.Quorum, h Host) error {
	if q == nil {
		return nil
	}
	self := h.Cluster.Hello()
	return q.Open(quorum.Member{Name: self.Name, Incarnation: self.Incarnation}, h)
}

// Close ends what Open began.
func Close(q *quorum.Quorum) {
	if q != nil {
		q.Close()
	}
}

// Ready returns an error if the node has strict kinds, and no leader of the voters has answered
// it for the time of a lease. A node whose lease alone has ended is about to get another.
func Ready(q *quorum.Quorum, k *kinds.Set) error {
	if q == nil || !slices.ContainsFunc(k.All(), (*registry.Registry).Strict) {
		return nil
	}
	if err := q.Quorum(); err != nil {
		return err
	}
	return nil
}

// Leave gives up the ids of a node that leaves, so that others, if there are any, need not wait
// for the end of its lease. It takes half of the time that ctx has at most.
func Leave(ctx context.Context, q *quorum.Quorum, m *members.Members) {
	if q != nil && len(m.View().Rest().Peers) > 0 {
		ctx, cancel := context.WithTimeout(ctx, clock.Left(ctx)/2)
		defer cancel()
		_ = q.Leave(ctx) // else they wait
	}
}

// Timing returns how long things take with the timing of a name: a lease is valid for 2 s with
// local, for 15 s with wan, and else for 5 s.
func Timing(name string) quorum.Timing {
	switch name {
	case "local":
		return quorum.NewTiming(2 * time.Second)
	case "wan":
		return quorum.NewTiming(15 * time.Second)
	}
	return quorum.NewTiming(5 * time.Second)
}

// A Host is the node as its quorum knows it. It implements [quorum.Host].
type Host struct {
	Cluster *members.Members
	Kinds   *kinds.Set
	Changed func() // is called when the ids of this node may have changed; it does not wait
}

// do has another node perform an operation.
func (h Host) do(ctx context.Context, name string, op wire.Op, args, result any) error {
	p, err := h.Cluster.Member(name)
	if err != nil {
		return errNoMember
	}
	s, err := h.Cluster.Pool().Get(ctx, p)
	if err != nil {
		return err
	}
	return s.Do(ctx, op, args, result)
}

// errNoMember does not name the node, as those who say that it does not answer do.
var errNoMember = wire.Errorf(wire.Unreachable, wire.NotRun, "no member of the cluster")

// Renew implements [quorum.Host].
func (h Host) Renew(ctx context.Context, voter string, r *quorum.Renewal) (*quorum.Answer, error) {
	var a quorum.Answer
	return &a, h.do(ctx, voter, protocol.OpRenew, r, bounded{&a})
}

// Term implements [quorum.Host].
func (h Host) Term(ctx context.Context, voter, server string) (term uint64, err error) {
	return term, h.do(ctx, voter, protocol.OpTerm, server, &term)
}

// Introduce implements [quorum.Host].
func (h Host) Introduce(ctx context.Context, voter string, own *quorum.Introduction) (*quorum.Introduction, error) {
	var i quorum.Introduction
	return &i, h.do(ctx, voter, protocol.OpIntroduce, own, &i)
}

// Change implements [quorum.Host].
func (h Host) Change(ctx context.Context, voter string, c *quorum.Change) (*quorum.Changed, error) {
	var r quorum.Changed
	return &r, h.do(ctx, voter, protocol.OpChange, c, &r)
}

// Hint implements [quorum.Host].
func (h Host) Hint(ctx context.Context, member, leader string) {
	_ = h.do(ctx, member, protocol.OpHint, leader, nil) // members ask by themselves, too
}

// Members implements [quorum.Host].
func (h Host) Members() (names []string) {
	for _, p := range h.Cluster.View().Peers {
		names = append(names, p.Text)
	}
	return names
}

// Running implements [quorum.Host].
func (h Host) Running(under any, own func(worker.ID) bool) (keys []worker.Key) {
	for _, r := range h.Kinds.Registries() {
		keys = r.AppendRunning(keys, under, own)
	}
	return keys
}

// RightsChanged implements [quorum.Host].
func (h Host) RightsChanged() { h.Changed() }

// Dial implements [quorum.Host].
func (h Host) Dial(ctx context.Context, voter string) (net.Conn, error) {
	p, err := h.Cluster.Member(voter)
	if err != nil {
		return nil, errNoMember
	}
	hello := h.Cluster.Hello()
	hello.Role = wire.RoleVoter
	l, err := wire.DialLink(ctx, h.Cluster.Pool().Slot(p).Addr, h.Cluster.Creds, hello)
	if err != nil {
		return nil, err
	}
	if l.Peer().Name != voter {
		l.Close()
		return nil, peers.OtherAnswers(h.Cluster.Pool().Slot(p).Addr, l.Peer().Name, voter)
	}
	conn, err := l.Open()
	if err != nil {
		l.Close()
		return nil, err
	}
	return linked{conn, l}, nil
}

// A linked stream is the only one of its link.
type linked struct {
	net.Conn
	link *wire.Link
}

func (c linked) Close() error { return errors.Join(c.Conn.Close(), c.link.Close()) }

// ServeLink serves the streams of a voter's link until that or ctx ends.
func ServeLink(ctx context.Context, q *quorum.Quorum, in *wire.Incoming, hello wire.Hello) {
	if q == nil {
		in.Refuse(noVoters)
		return
	}
	hello.Role = wire.RoleVoter
	l, err := in.AcceptLink(hello)
	if err != nil {
		return
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = q.ServeStream(conn, in.Hello.Name) // the voter that has opened it says why not
	}
}

var noVoters = wire.Errorf(wire.NoQuorum, wire.NotRun, "the node was started without voters; ask one that was started with --voters")

// Serve answers an operation of the quorum of the node that has a name.
func Serve(ctx context.Context, q *quorum.Quorum, from string, op wire.Op, args func(any) error) (any, error) {
	switch {
	case !protocol.OfVoters(op):
		return nil, wire.UnknownOperation
	case q == nil:
		return nil, noVoters
	}
	switch op {
	case protocol.OpRenew:
		if err := protocol.AtMost(args, quorum.MaxBusy, func(r renewalShape) int { return len(r.Busy) }); err != nil {
			return nil, err
		}
		return protocol.With(args, func(r quorum.Renewal) (any, error) {
			if r.Member.Name != from { // it would take that one's seat
				return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "%s renews the lease of %s", from, text.Line(r.Member.Name, 100))
			}
			return q.ServeRenewal(ctx, &r)
		})
	case protocol.OpTerm:
		return protocol.With(args, func(server string) (any, error) { return q.ServeTerm(server) })
	case protocol.OpIntroduce:
		return protocol.With(args, func(i quorum.Introduction) (any, error) { return q.ServeIntroduction(&i) })
	case protocol.OpHint:
		return protocol.With(args, func(leader string) (any, error) { q.ServeHint(leader); return nil, nil })
	case protocol.OpChange:
		return protocol.With(args, func(c quorum.Change) (any, error) { return q.ServeChange(ctx, bound(&c)), nil })
	}
	return nil, wire.UnknownOperation
}

// ServeClient answers an operation of a client. Changes of the voters go into the audit log.
func ServeClient(ctx context.Context, q *quorum.Quorum, log *audit.Log, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	if op != protocol.OpVoters && op != protocol.OpChange {
		return nil, wire.UnknownOperation
	}
	if q == nil {
		return nil, noVoters
	}
	if op == protocol.OpVoters {
		return q.Report(ctx), nil
	}
	return protocol.With(args, func(c quorum.Change) (any, error) {
		r := q.Change(ctx, bound(&c))
		did, result := "remove a voter", "done"
		if c.Add {
			did = "add a voter"
		}
		if !r.Done {
			result = r.Why
		}
		log.Note(did, audit.ActorOf(s), "voter", text.Line(c.Name, 100), "result", text.Line(result, 300))
		return r, nil
	})
}

// bound returns the change with a sensible timeout.
func bound(c *quorum.Change) *quorum.Change {
	c.Timeout = protocol.ClampTimeout(c.Timeout)
	return c
}

type (
	renewalShape struct{ Busy []struct{ Kind string } }
	answerShape  struct {
		Views []struct {
			Seats   []struct{ Failed bool }
			Leavers []struct{ Incarnation uint64 }
		}
		Facts map[quorum.Member]struct{ Past uint64 }
	}
)

// maxAnswer is how many seats, leavers and facts an answer has at most.
const maxAnswer = 64 * protocol.MaxMembers

// A bounded answer takes one with at most maxAnswer elements.
type bounded struct{ answer *quorum.Answer }

// Take is part of [wire.Result].
func (b bounded) Take(decode func(any) error) error {
	var s answerShape
	if err := decode(&s); err != nil {
		return err
	}
	n := len(s.Facts)
	for _, v := range s.Views {
		n += 1 + len(v.Seats) + len(v.Leavers)
	}
	if n > maxAnswer {
		return fmt.Errorf("an answer with %d elements, limit %d", n, maxAnswer)
	}
	return decode(b.answer)
}
