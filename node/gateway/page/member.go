package page

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// Bounds of what a member tells, besides those of package observe.
const (
	maxMembers   = 1500 // as many as a cluster has
	maxInfoKinds = observe.MaxKinds
	maxVoters    = 16
	maxName      = 400  // bytes of a name
	maxWhy       = 1000 // bytes of a reason
	maxCount     = 1e12 // of anything that is counted now
)

// A member is what a hub knows of one member.
type member struct {
	info    node.NodeInfo
	figures []observe.KindFigures // without their pasts; nil if they are not known
	hot     observe.Hot
	clock   time.Duration // of the member, ahead of that of the hub
	problem string        // of the last question for figures
	early   *answer       // that came before it was known how to count it; usually nil

	told     time.Time // when it gave its figures last; zero if it never did
	toldHot  time.Time
	answered bool // it has told its past, or why not
	refuses  bool // it does not know the operation
	hasClock bool
	asks     asker // for figures
	asksHot  asker
	placing  placing
}

// An asker asks one question, at most once in a tick, and never twice at a time.
type asker struct {
	tick  int // of the last question
	under bool
}

// due reports whether to ask in a tick.
func (a *asker) due(tick int) bool { return !a.under && a.tick < tick }

func (a *asker) begin(tick int) { a.under, a.tick = true, tick }

// A Member is a member of the cluster as the page shows it.
type Member struct {
	report.Node
	Values    int64  `json:"value_bytes"`
	MaxValues int64  `json:"max_value_bytes"`
	Evicted   uint64 `json:"evicted"`
	Clock     *int64 `json:"clock_ms"`        // how far its clock is ahead of the serving node's; nil if that is not known
	Figures   string `json:"figures_problem"` // why it has no figures; usually empty
}

// form returns the member for pages. Stale is how old its figures may be.
func (m *member) form(now time.Time, stale time.Duration) Member {
	f := Member{
		Node: report.NodeOf(m.info), Values: m.info.Values, MaxValues: m.info.MaxValues, Evicted: m.info.Evicted,
		Figures: m.trouble(now, stale),
	}
	if m.hasClock && m.fresh(now, stale) {
		ms := m.clock.Milliseconds()
		f.Clock = &ms
	}
	return f
}

// fresh reports whether the figures of the member are those of now.
func (m *member) fresh(now time.Time, stale time.Duration) bool {
	return !m.told.IsZero() && now.Sub(m.told) <= stale
}

// trouble returns why the member has no figures, or "".
func (m *member) trouble(now time.Time, stale time.Duration) string {
	switch {
	case m.info.State == node.StateFailed:
		return "it has failed"
	case m.fresh(now, stale):
		return ""
	}
	return m.problem
}

// problemOf writes why a member does not tell something.
func problemOf(err error) string {
	switch {
	case errors.Is(err, node.ErrUnsupported):
		return "its version does not know the question: update it"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time"
	}
	return text.Line(err.Error(), maxWhy)
}

// cleanInfo bounds what a member says of itself: lists, texts, and numbers that JSON cannot
// hold or that make no sense.
func cleanInfo(n node.NodeInfo) node.NodeInfo {
	n.Name, n.Addr, n.Version = text.Line(n.Name, maxName), text.Line(n.Addr, maxName), text.Line(n.Version, maxName)
	n.Unready, n.Problem = text.Line(n.Unready, maxWhy), text.Line(n.Problem, maxWhy)
	n.Kinds = cleanKinds(n.Kinds)
	if _, err := placement.ParseRouting(n.Routing); err != nil {
		n.Routing = ""
	}
	n.Differs = cleanNames(n.Differs, maxInfoKinds)
	n.Rate = cleanRate(n.Rate)
	n.RTT = cleanDuration(n.RTT)
	n.Workers, n.Stuck, n.Goroutines = cleanCount(n.Workers), cleanCount(n.Stuck), cleanCount(n.Goroutines)
	n.Values, n.MaxValues = max(0, n.Values), max(0, n.MaxValues)
	if n.Quorum != nil {
		q := *n.Quorum
		q.Lease = cleanDuration(q.Lease)
		q.Views = cleanCount(q.Views)
		q.Voters, q.Silent = cleanNames(q.Voters, maxVoters), cleanNames(q.Silent, maxVoters)
		q.Why = text.Line(q.Why, maxWhy)
		n.Quorum = &q
	}
	return n
}

func cleanNames(list []string, most int) []string {
	var names []string
	for _, s := range list[:min(len(list), most)] {
		names = append(names, text.Line(s, maxName))
	}
	return names
}

// cleanKinds keeps kinds whose names can be those of kinds.
func cleanKinds(kinds map[string]string) map[string]string {
	clean := make(map[string]string, min(len(kinds), maxInfoKinds))
	for kind, digest := range kinds {
		if len(clean) < maxInfoKinds && text.IsName(kind) {
			clean[kind] = text.Line(digest, maxName)
		}
	}
	return clean
}

func cleanRate(r float64) float64 {
	if r > 0 && r <= maxCount { // false for NaN
		return math.Round(10*r) / 10
	}
	return 0
}

func cleanCount(n int) int { return min(max(0, n), maxCount) }

func cleanDuration(d time.Duration) time.Duration { return min(max(0, d), worker.Forever) }

// cleanFigures returns what the kinds of a member do now, each kind once, without its past.
func cleanFigures(list []observe.KindFigures) []observe.KindFigures {
	clean := make([]observe.KindFigures, 0, min(len(list), observe.MaxKinds))
	seen := make(map[string]bool, cap(clean))
	for _, k := range list[:min(len(list), observe.MaxKinds)] {
		if seen[k.Kind] || !text.IsName(k.Kind) {
			continue
		}
		seen[k.Kind] = true
		k.Past = nil
		k.Rate = cleanRate(k.Rate)
		for _, n := range []*int{&k.Workers, &k.Waiting, &k.Longest, &k.Running, &k.Concurrency, &k.Queued, &k.Stuck} {
			*n = cleanCount(*n)
		}
		k.Bytes, k.MaxBytes, k.StuckFor = min(max(0, k.Bytes), 1<<52), min(max(0, k.MaxBytes), 1<<52), cleanDuration(k.StuckFor)
		clean = append(clean, k)
	}
	return clean
}

// cleanHot bounds the hottest ids of a member. Whatever it says, they are its own.
func cleanHot(h observe.Hot, name string) observe.Hot {
	clean := func(list []observe.HotID) (ids []observe.HotID) {
		for _, id := range list[:min(len(list), observe.MaxHot)] {
			if !text.IsName(id.Kind) {
				continue
			}
			id.Node = name
			id.Rate, id.Queue = cleanRate(id.Rate), cleanCount(id.Queue)
			id.Age, id.TTL = cleanDuration(id.Age), cleanDuration(id.TTL)
			ids = append(ids, id)
		}
		return ids
	}
	return observe.Hot{Node: name, Busiest: clean(h.Busiest), Longest: clean(h.Longest), Workers: cleanCount(h.Workers)}
}
