package members

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/file"
)

// A node goes on trying the names that it was to join, and those of members that it knew,
// for as long as they have no slot in its view. The names of members are kept in a file,
// so that a node that is restarted without names finds them again.
//
// A node that was disconnected must not come back by that. It forgets all names, and
// tells each node that asks before joining it that it is apart: see apart.go.

const (
	maxKnown      = 64               // names
	maxKnownFile  = 64 << 10         // bytes
	maxTriedAgain = 8                // names at a time
	triedAgain    = 10 * time.Second // pause between two tries, on average
	saveAfter     = time.Second      // a change of the view
	maxRefusals   = 3                // of a name, for good, until it is forgotten
	unseenFor     = 24 * time.Hour   // until a name that nobody answers for is forgotten
)

// known holds the names that a node tries to join again.
type known struct {
	path    string        // of the file, or empty
	changed chan struct{} // of capacity 1: the view has changed
	failed  atomic.Bool   // the last save failed

	mu    sync.Mutex
	names map[string]*knownName // by addrText; guarded by mu
}

// A knownName is one to try again.
type knownName struct {
	addr     placement.Addr
	refusals int       // in a row
	seen     time.Time // or when it was added
	asked    bool      // a Join named it: it is never forgotten
	member   bool      // it was a member
}

// readKnown reads the file of the node at self in a folder.
func readKnown(dir string, self placement.Addr) (*known, error) {
	k := &known{names: map[string]*knownName{}, changed: make(chan struct{}, 1)}
	if dir == "" {
		return k, nil
	}
	k.path = filepath.Join(dir, addrText(placement.Addr{Name: self.Name, Port: self.Port}), "members")
	data, err := file.Read(k.path, maxKnownFile)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	var list []placement.Addr
	for line := range strings.Lines(string(data)) {
		a, err := parseAddrText(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return k, err
		}
		list = append(list, a)
	}
	k.add(list, false)
	return k, nil
}

// addrText returns NAME@HOST:PORT, and after a space the host to dial if that is another
// one.
func addrText(a placement.Addr) string {
	_, port, _ := net.SplitHostPort(a.HostPort())
	if a.At == "" {
		return a.Name.String() + ":" + port
	}
	return a.Name.String() + ":" + port + " " + a.At
}

// parseAddrText reads what addrText has written.
func parseAddrText(s string) (placement.Addr, error) {
	name, at, elsewhere := strings.Cut(s, " ")
	a, err := placement.ParseAddr(name)
	if err != nil || !elsewhere {
		return a, err
	}
	return placement.AddrOf(a.Name, net.JoinHostPort(at, strconv.Itoa(a.Port)))
}

// add adds names, as many as there is room for.
func (k *known) add(list []placement.Addr, asked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range list {
		n := k.names[addrText(a)]
		if n == nil {
			if len(k.names) >= maxKnown {
				continue
			}
			n = &knownName{addr: a}
			k.names[addrText(a)] = n
		}
		n.seen, n.refusals, n.asked, n.member = time.Now(), 0, n.asked || asked, n.member || !asked
	}
}

// wasMember reports whether the node knows of a member, from before a restart or since
// its start.
func (k *known) wasMember() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.names {
		if n.member {
			return true
		}
	}
	return false
}

// clear forgets all names.
func (k *known) clear() {
	k.mu.Lock()
	clear(k.names)
	k.mu.Unlock()
	_ = k.save() // a restart would join again at worst
}

// judge notes what became of a try.
func (k *known) judge(a placement.Addr, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.names[addrText(a)]
	if n == nil {
		return
	}
	switch {
	case err == nil:
		n.seen, n.refusals = time.Now(), 0
	case isRefusal(err):
		n.refusals++
	}
	if !n.asked && (n.refusals >= maxRefusals || time.Since(n.seen) > unseenFor) {
		delete(k.names, addrText(a))
	}
}

// missing returns some of the names that have no slot in v, in random order.
func (k *known) missing(v *View) (list []placement.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.names {
		if v.Peer(n.addr.Name) == nil && len(list) < maxTriedAgain {
			list = append(list, n.addr)
		}
	}
	return list
}

// save writes the file, and does nothing without one.
func (k *known) save() error {
	if k.path == "" {
		return nil
	}
	k.mu.Lock()
	lines := slices.Sorted(maps.Keys(k.names))
	k.mu.Unlock()
	var b bytes.Buffer
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	dir := filepath.Dir(k.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "members-*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// isRefusal reports whether a node refuses this one for a reason that time does not mend.
func isRefusal(err error) bool {
	return errors.Is(err, wire.WrongCookie) || errors.Is(err, wire.Disagreement) ||
		errors.Is(err, wire.WrongName) || errors.Is(err, wire.NameTaken)
}

// remember adds the members to the known names.
func (m *Members) remember() {
	v := m.View()
	var list []placement.Addr
	for _, p := range v.Peers {
		if a, err := placement.AddrOf(p.Name, m.pool.Slot(p).Addr); err == nil && !p.Self {
			list = append(list, a)
		}
	}
	if len(list) == 0 || m.Detaching() {
		return
	}
	m.known.add(list, false)
	err := m.known.save()
	// A disk that is full fails each time, and is told of once.
	if failed := err != nil; m.known.failed.Swap(failed) != failed && failed {
		m.Logger.Warn("cannot remember the members; a restart without --join starts a new cluster", "err", err)
	}
}

// keepJoining tries known names again, and remembers members, until the node closes. At
// first it tries them often, as claims wait for that.
func (m *Members) keepJoining() {
	defer m.remember()
	m.findCluster()
	for {
		pause := triedAgain
		if m.alone() {
			pause = aloneEvery
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-m.known.changed:
			timer.Stop()
			if !clock.Sleep(m.ctx, saveAfter) {
				return
			}
			m.remember()
			continue
		case <-timer.C:
		case <-m.ctx.Done():
			timer.Stop()
			return
		}
		m.joinAgain()
		m.trySources()
	}
}

// findCluster tries known names, as often as a Join does, while claims wait for this node
// to find its cluster.
func (m *Members) findCluster() {
	for backoff := clock.Redial(); m.seeking(); {
		m.tryKnown(nil)
		if m.seeking() && !backoff.Sleep(m.ctx) {
			return
		}
	}
	m.knownBy.Store(0)
}

// joinAgain tries to join the known names that have no slot, and forgets one that has
// refused this node maxRefusals times.
func (m *Members) joinAgain() { m.tryKnown(m.known.judge) }

// tryKnown tries to join the known names that have no slot. It calls judge, if that is
// not nil, with the result of each.
func (m *Members) tryKnown(judge func(placement.Addr, error)) {
	list := m.known.missing(m.View())
	if len(list) == 0 || m.Detaching() {
		return
	}
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range list {
		wg.Go(func() {
			err := m.rejoin(ctx, a)
			if judge != nil {
				judge(a, err)
			}
			m.noteRefusal(err)
			if err != nil {
				m.Logger.Debug("cannot join a node that was a member", "node", a.Name.String(), "why", err)
			}
		})
	}
	wg.Wait()
}

// rejoin joins the cluster of the node at a, unless that stays apart.
func (m *Members) rejoin(ctx context.Context, a placement.Addr) error {
	p := m.pool.Peer(a.Name)
	m.pool.Introduce(p, a.HostPort())
	ws, err := m.pool.Dial(ctx, p) // not one of its own: the peer would call on that, too
	if err != nil {
		return err
	}
	var theirs protocol.Sync
	err = ws.Do(ctx, protocol.OpSync, protocol.Sync{}, protocol.BoundedSync(&theirs))
	if err != nil || theirs.Apart || m.View().Apart {
		return err
	}
	return m.connect(ctx, a)
}
