package quorum

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// An entry of the log has one of its fields.
type entry struct {
	Cluster string `json:"cluster,omitempty"` // the identity of the cluster; the first entry
	View    *View  `json:"view,omitempty"`
	Retire  uint64 `json:"retire,omitempty"` // the views before that epoch are retired
}

func (e *entry) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // an entry has nothing that JSON lacks
	}
	return b
}

// A state is what the log says up to some entry. States do not change.
type state struct {
	cluster string
	former  []string // the clusters that it was before recoveries, the last first
	floor   uint64   // all views have later epochs (rule 26)
	views   []*View  // not retired, oldest first
	retired uint64   // the views before that epoch are
}

func (s *state) origin() Origin { return Origin{s.cluster, s.former} }

// newest returns the newest view, or nil.
func (s *state) newest() *View {
	if len(s.views) == 0 {
		return nil
	}
	return s.views[len(s.views)-1]
}

// after returns the state after an entry.
func (s *state) after(e *entry) *state {
	next := *s
	if e.Cluster != "" && s.cluster == "" {
		next.cluster = e.Cluster
	}
	if v := e.View; v != nil && (s.newest() == nil || v.Epoch > s.newest().Epoch) {
		next.views = append(slices.Clip(s.views), v)
	}
	next.retired = max(s.retired, e.Retire)
	for len(next.views) > 1 && next.views[0].Epoch < next.retired {
		next.views = next.views[1:]
	}
	return &next
}

// A machine is raft's state machine. Raft calls Apply, Restore and Snapshot from one
// goroutine.
type machine struct {
	applied func(*state) // called with each new state, in order

	mu    sync.Mutex
	state *state
}

func newMachine(applied func(*state)) *machine {
	return &machine{applied: applied, state: &state{}}
}

// now returns the state after the last entry applied.
func (m *machine) now() *state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *machine) set(s *state) {
	m.mu.Lock()
	m.state = s
	m.mu.Unlock()
	m.applied(s)
}

// Apply implements [raft.FSM]. It returns an error if the entry makes no sense, and nothing
// changes then on any voter.
func (m *machine) Apply(l *raft.Log) any {
	var e entry
	if err := json.Unmarshal(l.Data, &e); err != nil {
		return fmt.Errorf("entry %d of the log: %w", l.Index, err)
	}
	if e.View != nil {
		if err := e.View.arrange(); err != nil {
			return fmt.Errorf("entry %d of the log: %w", l.Index, err)
		}
	}
	m.set(m.now().after(&e))
	return nil
}

// A snapshot is a state as it is on disk.
type snapshot struct {
	Format  int
	Cluster string
	Former  []string
	Floor   uint64
	Views   []*View
	Retired uint64
}

const snapshotFormat = 1

// Snapshot implements [raft.FSM].
func (m *machine) Snapshot() (raft.FSMSnapshot, error) { return m.now(), nil }

// Persist implements [raft.FSMSnapshot].
func (s *state) Persist(sink raft.SnapshotSink) error {
	err := json.NewEncoder(sink).Encode(snapshot{
		Format: snapshotFormat, Cluster: s.cluster, Former: s.former, Floor: s.floor, Views: s.views, Retired: s.retired,
	})
	if err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements [raft.FSMSnapshot].
func (s *state) Release() {}

// maxSnapshot is more than the views of the largest cluster need.
const maxSnapshot = 64 << 20

// Restore implements [raft.FSM].
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	var s snapshot
	if err := json.NewDecoder(io.LimitReader(r, maxSnapshot)).Decode(&s); err != nil {
		return fmt.Errorf("snapshot of the log: %w", err)
	}
	if s.Format != snapshotFormat {
		return fmt.Errorf("snapshot of the log: format %d; this version reads format %d", s.Format, snapshotFormat)
	}
	if err := checkViews(s.Views); err != nil {
		return fmt.Errorf("snapshot of the log: %w", err)
	}
	m.set(&state{cluster: s.Cluster, former: s.Former, floor: s.Floor, views: s.Views, retired: s.Retired})
	return nil
}
