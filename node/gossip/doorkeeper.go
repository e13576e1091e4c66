package gossip

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"

	"github.com/distproc/distproc/wire"
)

const (
	tagAddr        = "addr"
	tagIncarnation = "inc"
	tagMagic       = 255 // serf's mark of tags
)

// A doorkeeper rejects members that cannot be nodes of this program, and detects other
// processes with this node's name.
//
// Serf's MergeDelegate would do as well, but it decodes the tags of all members twice in
// each comparison of states, which is expensive while a large cluster forms.
type doorkeeper struct {
	self     wire.Member
	valid    func(name, addr string) bool
	full     func(name string) bool // no slot is left for that name
	conflict func(wire.Member)      // must not block
	proof    time.Duration          // time after which a report of an earlier start is no longer an old one

	mu      sync.Mutex
	known   map[string]known // guarded by mu: admitted members by name
	rival   uint64           // guarded by mu: incarnation of a process with this node's name and an earlier start
	since   time.Time        // guarded by mu: time of its first report
	lastMet time.Time        // guarded by mu
}

// A known is the last report of a member to memberlist.
type known struct{ tags, addr string }

// addr returns the address of a member. Unlike the table, it has the address before
// memberlist sends the first packet.
func (d *doorkeeper) addr(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[name].addr
}

// NotifyAlive implements [memberlist.AliveDelegate]. Memberlist calls it for every report
// that a member is alive, with its lock held, so it must not block.
func (d *doorkeeper) NotifyAlive(n *memberlist.Node) error {
	if string(n.Addr) != string(constantIP) || n.Port != constantPort {
		return fmt.Errorf("%.64q has an address of memberlist's own, which would shut out the true one", n.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.known[n.Name]; k.addr != "" && k.tags == string(n.Meta) {
		return nil
	}
	m, err := readTags(n.Meta)
	if err != nil {
		return err
	}
	m.Name = n.Name
	if !d.valid(m.Name, m.Addr) {
		return fmt.Errorf("a member cannot have the name %.64q and the address %.64q", m.Name, m.Addr)
	}
	if m.Name == d.self.Name {
		d.meetLocked(m)
		return nil
	}
	if d.full(m.Name) {
		return fmt.Errorf("there is no slot left for %s", m.Name)
	}
	if d.known == nil || len(d.known) > maxTold {
		d.known = map[string]known{}
	}
	d.known[m.Name] = known{string(n.Meta), m.Addr}
	return nil
}

// readTags decodes the tags of a member, which are serf's. The name is not a tag.
func readTags(b []byte) (wire.Member, error) {
	if len(b) == 0 || len(b) > memberlist.MetaMaxSize || b[0] != tagMagic {
		return wire.Member{}, errors.New("a member without tags")
	}
	var tags map[string]string
	if err := codec.NewDecoderBytes(b[1:], &codec.MsgpackHandle{}).Decode(&tags); err != nil {
		return wire.Member{}, fmt.Errorf("read tags: %w", err)
	}
	return fromTags(tags)
}

func toTags(m wire.Member) map[string]string {
	return map[string]string{tagAddr: m.Addr, tagIncarnation: strconv.FormatUint(m.Incarnation, 10)}
}

func fromTags(tags map[string]string) (m wire.Member, err error) {
	m.Addr = tags[tagAddr]
	m.Incarnation, err = strconv.ParseUint(tags[tagIncarnation], 10, 64)
	return m, err
}

// meetLocked decides whether a member with this node's name is another process. One with
// a later start is. One with an earlier start may be an old report about a former process
// of this node, until this node has refuted it.
func (d *doorkeeper) meetLocked(m wire.Member) {
	if m.Incarnation == d.self.Incarnation {
		return
	}
	if m.Incarnation < d.self.Incarnation {
		now := time.Now()
		if m.Incarnation != d.rival || now.Sub(d.lastMet) > 10*d.proof {
			d.rival, d.since = m.Incarnation, now
		}
		d.lastMet = now
		if now.Sub(d.since) <= d.proof {
			return
		}
	}
	d.conflict(m)
}
