package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// Workers describes up to limit live workers.
func (t *table) Workers(limit int) []worker.Info {
	now := t.Now()
	var infos []worker.Info
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if len(infos) == limit {
				break
			}
			if info, live, _ := t.infoLocked(w, now); live {
				infos = append(infos, info)
			}
		}
		s.mu.Unlock()
	}
	return infos
}

func (t *table) infoLocked(w *entry, now time.Duration) (info worker.Info, live, busy bool) {
	info = worker.Info{Kind: t.name, ID: w.id, Node: t.node, Age: now - w.started, Hits: uint64(w.hits)}
	live, busy = t.machine.describeLocked(w, &info, now)
	return info, live, busy
}

// A Status is what a node knows of the worker of an id.
type Status struct {
	Live, Loading bool
	NoKind        bool // the node has no such kind
	Worker        worker.Info
	Custody       *worker.Custody // of an id of a strict kind; else nil
}

// Inspect describes the worker of id, if one lives.
func (t *table) Inspect(id worker.ID) (st Status) {
	if t.guard != nil {
		st.Custody = t.guard.Explain(worker.Key{Kind: t.name, ID: id})
	}
	now := t.Now()
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workers.get(id); w != nil {
		st.Worker, st.Live, st.Loading = t.infoLocked(w, now)
		switch {
		case st.Custody == nil:
		case w.mail != nil:
			w.mail.describeLocked(st.Custody, now)
		case w.load != nil:
			w.describeLoadLocked(st.Custody, now)
		}
	}
	return st
}

// Count returns how many workers live, how many answers they have given since the start,
// and how many workers were evicted.
func (t *table) Count() (live int, answers, evicted uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		live += s.workers.count
		answers += s.answers
		evicted += s.evicted
		s.mu.Unlock()
	}
	return live, answers, evicted
}
