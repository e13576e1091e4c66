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

// A doorkeeper turns away who can be no node of this program, and notices other processes with this node's
// name.
//
// serf's MergeDelegate would do as well, but decodes the tags of all members twice whenever two compare what
// they know: a tenth of all work while a large cluster forms.
type doorkeeper struct {
	self     wire.Member
	valid    func(name, addr string) bool
	full     func(name string) bool // there is no seat left for that name
	conflict func(wire.Member)      // does not wait
	proof    time.Duration          // until an earlier start that lives is no mere memory of others

	mu      sync.Mutex
	known   map[string]known // guarded by mu: those that were let in, by name
	rival   uint64           // guarded by mu: the incarnation of a process with this node's name, of an earlier start
	since   time.Time        // guarded by mu: when it was first met
	lastMet time.Time        // guarded by mu
}

// A known member is one as memberlist was last told of it.
type known struct{ tags, addr string }

// addr returns where a member is. Unlike the table it knows that before memberlist sends the first packet.
func (d *doorkeeper) addr(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[name].addr
}

// NotifyAlive implements [memberlist.AliveDelegate]. memberlist asks it about every member that it is told is
// alive, with its lock held: so it does not wait.
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
		return fmt.Errorf("there is no seat left for %s", m.Name)
	}
	if d.known == nil || len(d.known) > maxTold {
		d.known = map[string]known{}
	}
	d.known[m.Name] = known{string(n.Meta), m.Addr}
	return nil
}

// readTags reads the tags of a member as serf encodes them, of which the name is none.
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

// meetLocked decides whether a member with this node's name is another process. A later start surely is. An
// earlier one may be what others remember of a former life, until this node has told them better.
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
