package registry

import (
	"slices"

	"github.com/distproc/distproc/node/worker"
)

// A node that joins asks the others which servers they have of its ids, and waits for those
// to end. To go over a million servers takes a second, and to ask for each of them takes a
// question for each call. So a node that is asked waives: from then on its servers that
// rest, and whose ids are another node's, count as ended. [Registry.Retain] frees them in
// its time, and whatever comes to such a server before that looks at it first.

// mostWaivers is how many waivers a shard keeps. Retain takes them away. If the view
// changes so often that Retain never comes to its end, the shard waives no more.
const mostWaivers = 8

// waive waives the servers that keep refuses, but for those that run, or have something to
// do at their end. It returns at most limit ids of these, and reports whether there are
// more.
func (a *actor) waive(keep func(worker.ID) bool, limit int) ([]worker.ID, bool) {
	l := idList{keep: keep, limit: limit}
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		waived := s.waiveLocked(keep)
		if waived {
			l.addRunningLocked(s)
		}
		s.mu.Unlock()
		if !waived {
			seen := map[worker.ID]bool{} // a scan may visit a server twice
			s.scan(func(w *entry) {
				if !seen[w.id] {
					l.add(w)
				}
				seen[w.id] = true
			}, nil)
		}
		if l.more {
			break
		}
	}
	return l.ids, l.more
}

// waiveLocked waives the servers of s that rest and that keep refuses, and begins another
// era. It reports false, and does nothing, if a server of s may have something to do at its
// end: another node must wait for that.
func (s *shard) waiveLocked(keep func(worker.ID) bool) bool {
	if s.mustEnd > 0 || s.quiesced || len(s.waivers) == mostWaivers {
		return false
	}
	s.waivers = append(s.waivers, keep)
	s.era++
	for _, w := range s.running {
		w.mail.era = s.era
	}
	return true
}

// waivesLocked reports whether w has a server that rests and has been waived.
func (s *shard) waivesLocked(w *entry) bool {
	m := w.mail
	since := s.waivers[len(s.waivers)-int(s.era-m.era):] // w was last looked at
	return !m.busy && m.server != nil && slices.ContainsFunc(since, func(keep func(worker.ID) bool) bool { return !keep(w.id) })
}

// waivedLocked reports whether the server of w, which rests, has been waived. Then w has no
// server any more, and the next one needs another claim. The caller must give w something
// to do or remove it.
func (a *actor) waivedLocked(s *shard, w *entry) bool {
	m, waived := w.mail, s.waivesLocked(w)
	m.era = s.era
	if waived {
		m.server, m.claimed, w.hits = nil, false, 0
		m.policy = a.policy.Load()
	}
	return waived
}

// dropWaivedLocked removes w if it rests and has been waived, and reports whether it has.
func (a *actor) dropWaivedLocked(s *shard, w *entry) bool {
	if w.mail.busy || !a.waivedLocked(s, w) || w.mail.work != nil {
		return false
	}
	s.workers.remove(w)
	return true
}

// forgetWaiversLocked drops the waivers from before an era, as all servers have been looked
// at since.
func (s *shard) forgetWaiversLocked(era uint8) {
	if later := int(s.era - era); later < len(s.waivers) {
		s.waivers = slices.Clone(s.waivers[len(s.waivers)-later:])
	}
}
