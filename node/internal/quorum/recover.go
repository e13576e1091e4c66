package quorum

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// A Recovery makes one voter the only one, when a majority of the voters is gone for good
// (rule 26). It works on the data directory of a node that does not run. What the log of this
// voter lacks is lost; what the lost voters have promised counts no more, so they must have
// stopped, and their data directories must never be used again.
type Recovery struct {
	Name   string
	Voters []string // by its log, this one included
	Last   uint64   // index of the last entry of its log
	Epoch  uint64   // of the last view that it knows

	disk *disk
}

// recoveryStep is by how much epochs rise in a recovery. The lost voters may have committed
// views that the survivor lacks, but one in an interval at most.
const recoveryStep = 1 << 32

// OpenRecovery opens the data directory of the node of a name. No node can use it until the
// recovery is closed. An error says what is wrong with it.
func OpenRecovery(dir, name string) (*Recovery, error) {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data directory %s: no voter has used it; pass the --data-dir that the node had", dir)
	}
	d, err := openDisk(dir, name, newRaftLog(slog.New(slog.DiscardHandler)))
	if errors.Is(err, errInUse) {
		return nil, fmt.Errorf("data directory %s: a process uses it; stop the node first", dir)
	}
	if err != nil {
		return nil, err
	}
	r, err := newRecovery(d)
	if err != nil {
		d.close()
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return r, nil
}

// Close releases the data directory.
func (r *Recovery) Close() { r.disk.close() }

func newRecovery(d *disk) (*Recovery, error) {
	if d.empty {
		return nil, errors.New("it is empty: this voter has never taken part, so it has nothing to recover from")
	}
	_, trans := raft.NewInmemTransport("")
	c, err := raft.GetConfiguration(d.offline(), newMachine(func(*state) {}), d.logs, d.stable, d.snaps, trans)
	if err != nil {
		return nil, err
	}
	r := &Recovery{Name: d.Name, disk: d}
	listed := false
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			r.Voters = append(r.Voters, nameOf(s.ID))
			listed = listed || s.ID == d.server()
		}
	}
	switch {
	case len(c.Servers) == 0:
		return nil, errors.New("its log has no voters: this voter has never taken part, so it has nothing to recover from")
	case !listed:
		return nil, fmt.Errorf("it is that of no voter any more; recover one of %s", strings.Join(r.Voters, ", "))
	case len(r.Voters) == 1:
		return nil, errors.New("this is the only voter already: start it, there is nothing to recover")
	}
	s, last, err := d.replay()
	if err != nil {
		return nil, err
	}
	r.Last, r.Epoch = last, s.last()
	return r, nil
}

// replay returns the state after all that is on the disk, committed or not, and the index of the
// last entry.
func (d *disk) replay() (s *state, last uint64, err error) {
	m := newMachine(func(*state) {})
	list, err := d.snaps.List()
	if err != nil {
		return nil, 0, err
	}
	if len(list) > 0 {
		_, source, err := d.snaps.Open(list[0].ID)
		if err == nil {
			err = m.Restore(source)
		}
		if err != nil {
			return nil, 0, err
		}
		last = list[0].Index
	}
	end, err := d.logs.LastIndex()
	if err != nil {
		return nil, 0, err
	}
	for ; last < end; last++ {
		var l raft.Log
		if err := d.logs.GetLog(last+1, &l); err != nil {
			return nil, 0, damaged(logFile, fmt.Errorf("entry %d: %w", last+1, err))
		}
		if l.Type == raft.LogCommand {
			_ = m.Apply(&l) // what makes no sense changes nothing
		}
	}
	return m.now(), last, nil
}

func (d *disk) offline() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.NoLegacyTelemetry = d.server(), newRaftLog(slog.New(slog.DiscardHandler)), true
	return c
}

// Do makes this voter the only one. If it is interrupted, the voter is as before or recovered.
func (r *Recovery) Do() error {
	_, trans := raft.NewInmemTransport("")
	d := r.disk
	only := raft.Configuration{Servers: []raft.Server{{ID: d.server(), Address: raft.ServerAddress(d.server())}}}
	return raft.RecoverCluster(d.offline(), recovering{newMachine(func(*state) {})}, d.logs, d.stable, d.snaps, trans, only)
}

// A recovering machine takes its snapshot as that of the cluster after the recovery.
type recovering struct{ *machine }

// Snapshot implements [raft.FSM].
func (r recovering) Snapshot() (raft.FSMSnapshot, error) { return r.now().recovered(), nil }

// last returns an epoch that no view of this log is later than.
func (s *state) last() uint64 {
	last := max(s.floor, s.retired)
	if v := s.newest(); v != nil {
		last = max(last, v.Epoch)
	}
	return last
}

// recovered returns the state of the cluster that this one becomes in a recovery. It has no view,
// so its leader waits for the end of all leases before the first one (rule 26).
func (s *state) recovered() *state {
	next := &state{cluster: rand.Text(), former: slices.Clone(s.former), floor: s.last() + recoveryStep}
	if s.cluster != "" {
		next.former = slices.Insert(next.former, 0, s.cluster)
	}
	next.former = next.former[:min(len(next.former), maxFormer)]
	return next
}
