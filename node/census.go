package node

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// sourceGrace is how long a source may go on after the end of its context before it counts as stuck.
const sourceGrace = time.Second

// workers describes up to limit live workers.
func (r *registry) workers(limit int) []worker.Info {
	now := r.now()
	var infos []worker.Info
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if len(infos) == limit {
				break
			}
			if info, live := r.infoLocked(w, now); live {
				infos = append(infos, info)
			}
		}
		s.mu.Unlock()
	}
	return infos
}

func (r *registry) infoLocked(w *entry, now time.Duration) (info worker.Info, live bool) {
	info = worker.Info{Kind: r.name, ID: w.id, Node: r.node, Age: now - w.started, Hits: uint64(w.hits)}
	if m := w.mail; m != nil && m.busy {
		info.Queue = m.waiting
		return info, true
	}
	if w.load != nil {
		info.Queue = w.load.waiting()
		return info, true
	}
	info.TTL = max(0, w.expires-now)
	return info, w.dies() > now
}

// inspect describes the worker of id, if one lives.
func (r *registry) inspect(id worker.ID) (st workerStatus) {
	now := r.now()
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workers.get(id); w != nil {
		st.Worker, st.Live = r.infoLocked(w, now)
		st.Loading = w.load != nil || w.mail != nil && w.mail.busy
	}
	return st
}

// count returns how many workers live, how many answers they have given since the start, and how many
// workers were evicted.
func (r *registry) count() (live int, answers, evicted uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		live += s.workers.count
		answers += s.answers
		evicted += s.evicted
		s.mu.Unlock()
	}
	return live, answers, evicted
}

// stuck returns how many sources have not returned although their time was up a second ago.
func (r *registry) stuck() (n int) {
	now := r.now()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, w := range s.loading {
			began := w.started
			if w.mail != nil {
				began = w.mail.began
			}
			if r.gate.holds(w.turn()) {
				continue // it has not begun
			}
			if now-began > w.kind.Timeout+sourceGrace {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
