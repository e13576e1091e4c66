package page

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire/text"
)

const (
	every      = time.Second           // between two questions to a member
	everyOf    = 10 * time.Millisecond // for each member, if there are more than 100
	staleAfter = 3 * time.Second       // figures do not count any more
	boundsWait = 2 * time.Second       // for the serving node to tell the bounds of its buckets
	maxNotices = 50
	maxDiffers = 20 // members that are named for a kind that differs
)

// A collection is what a hub has learned since somebody began to watch. It does no I/O.
type collection struct {
	self    string
	epoch   time.Time // when slot 0 ended
	began   time.Time
	infosAt time.Time // when the members were listed; zero if they never were
	problem string    // why they could not be listed the last time
	gone    bool      // because the node is closed
	order   []string  // names of the members, as they were listed
	members map[string]*member
	differs map[string][]string // members that define a kind otherwise than the serving node

	bounds []time.Duration // of all histograms; nil until they are known
	total  *past
	chosen map[string]*chosenPast // by member
	last   int64                  // newest slot that was published
	watch  attention
}

// A chosenPast is the past of a member that a page has chosen.
type chosenPast struct {
	*past
	since  time.Time // when it was chosen
	loaded bool      // it has what the member knew when it was chosen
	failed bool      // the member could not tell
}

func newCollection(self string, epoch, now time.Time) *collection {
	c := &collection{
		self: self, epoch: epoch, began: now, members: make(map[string]*member),
		total: newPast(nil, false), chosen: make(map[string]*chosenPast), watch: newAttention(),
	}
	c.last = int64(c.slots(now.Add(-lateness)))
	return c
}

// slots returns how many slots after the epoch a time is.
func (c *collection) slots(t time.Time) float64 {
	return float64(t.Sub(c.epoch)) / float64(observe.SampleTime)
}

// endOf returns when a slot ends.
func (c *collection) endOf(slot int64) time.Time {
	return c.epoch.Add(time.Duration(slot) * observe.SampleTime)
}

// period is the time between two questions to a member.
func (c *collection) period() time.Duration { return max(every, time.Duration(len(c.order))*everyOf) }

// stale is how old figures may be.
func (c *collection) stale() time.Duration { return max(staleAfter, 3*c.period()) }

// takeInfos takes the list of members.
func (c *collection) takeInfos(now time.Time, infos []node.NodeInfo, err error) {
	c.gone = errors.Is(err, node.ErrClosed)
	if err != nil {
		c.problem = text.Line(err.Error(), maxWhy)
		return
	}
	c.problem, c.infosAt = "", now
	c.order = c.order[:0:0]
	listed := make(map[string]bool, len(infos))
	for _, info := range infos {
		info = cleanInfo(info)
		if info.Name == "" || listed[info.Name] || len(c.order) >= maxMembers {
			continue
		}
		listed[info.Name] = true
		c.order = append(c.order, info.Name)
		m := c.members[info.Name]
		if m == nil {
			m = &member{}
			c.members[info.Name] = m
		}
		m.info = info
	}
	maps.DeleteFunc(c.members, func(name string, _ *member) bool { return !listed[name] })
	c.findDiffers()
}

// mark returns what to ask a member for.
func (c *collection) mark(name string) observe.Mark {
	if p := c.chosen[name]; p != nil && !p.loaded {
		return observe.Mark{}
	}
	m := c.members[name]
	return observe.Mark{Run: m.placing.run, Seq: m.placing.seq}
}

// An answer is what a member has answered to a question for figures.
type answer struct {
	observe.Figures
	after observe.Mark // that it was asked for
	at    float64      // how many slots after the epoch its newest sample ended
}

// takeFigures takes the answer of a member to a question that was sent some time ago.
func (c *collection) takeFigures(now time.Time, name string, after observe.Mark, f observe.Figures, took time.Duration, err error) {
	m := c.members[name]
	if m == nil {
		return
	}
	m.refuses = errors.Is(err, node.ErrUnsupported)
	if err != nil {
		m.problem, m.answered = problemOf(err), true
		if p := c.chosen[name]; p != nil {
			p.failed = true
		}
		return
	}
	m.problem, m.told = "", now
	m.figures = cleanFigures(f.Kinds)
	m.clock, m.hasClock = f.Clock.Sub(now.Add(-took/2)), !f.Clock.IsZero()
	m.early = &answer{f, after, c.slots(now.Add(-cleanDuration(f.Age)))}
	if c.bounds == nil && validBounds(f.Bounds) && (name == c.self || now.Sub(c.began) >= boundsWait) {
		// Those of the serving node are those of all histograms. If it does not tell them,
		// those of another one must do.
		c.bounds = slices.Clone(f.Bounds)
		c.total.bounds = c.bounds
		for _, name := range c.order {
			c.addPast(name)
		}
	}
	if c.bounds != nil {
		c.addPast(name)
	}
}

// addPast adds the samples that a member has told.
func (c *collection) addPast(name string) {
	m, p := c.members[name], c.chosen[name]
	if m.early == nil {
		return
	}
	a := m.early
	m.early, m.answered = nil, true
	news := m.placing.place(a.Figures, a.after, a.at)
	buckets := bucketsOf(c.bounds, a.Bounds)
	c.fill(c.total, news, a.Figures, buckets)
	switch {
	case p == nil:
	case a.after == (observe.Mark{}) && !p.loaded:
		p.past = newPast(c.bounds, true)
		c.fill(p.past, m.placing.all(a.Figures, a.after), a.Figures, buckets)
		p.loaded = true
		p.forget(c.last)
	case p.loaded:
		c.fill(p.past, news, a.Figures, buckets)
	}
}

// fill adds the samples of a span to a past.
func (c *collection) fill(p *past, s span, f observe.Figures, buckets []int) {
	if s.first > s.last {
		return
	}
	for seq := s.first; seq <= s.last; seq++ {
		p.know(s.slotOf(seq))
	}
	seen := make(map[string]bool)
	for i := range f.Kinds {
		k := &f.Kinds[i]
		if len(k.Past) == 0 || seen[k.Kind] || !text.IsName(k.Kind) || len(seen) >= observe.MaxPasts {
			continue
		}
		seen[k.Kind] = true
		fresh := k.Past[max(0, len(k.Past)-int(s.last-s.first+1)):]
		for j := range fresh {
			p.add(k.Kind, s.slotOf(s.last-uint64(len(fresh)-1-j)), &fresh[j], buckets, c.own)
		}
	}
}

// own reports whether the serving node has a kind.
func (c *collection) own(kind string) bool {
	m := c.members[c.self]
	if m == nil {
		return false
	}
	_, ok := m.info.Kinds[kind]
	return ok
}

// takeHot takes the hottest ids of a member.
func (c *collection) takeHot(now time.Time, name string, h observe.Hot, err error) {
	if m := c.members[name]; m != nil && err == nil {
		m.hot, m.toldHot = cleanHot(h, name), now
	}
}

// choose makes the nodes that pages have chosen those of which there are pasts.
func (c *collection) choose(now time.Time, nodes []string) {
	maps.DeleteFunc(c.chosen, func(name string, _ *chosenPast) bool { return !slices.Contains(nodes, name) })
	for _, name := range nodes {
		if name != "" && c.chosen[name] == nil {
			c.chosen[name] = &chosenPast{past: newPast(nil, true), since: now}
		}
	}
}

// pastOf returns the past of a member, or of all together, once there is what there will be.
func (c *collection) pastOf(now time.Time, name string) (p *past, ok bool) {
	if name == "" {
		return c.total, c.primed(now)
	}
	chosen := c.chosen[name]
	if chosen == nil {
		return nil, false
	}
	return chosen.past, chosen.loaded || chosen.failed || now.Sub(chosen.since) >= lateness
}

// primed reports whether all members have told their pasts, or have had time to.
func (c *collection) primed(now time.Time) bool {
	if now.Sub(c.began) >= lateness {
		return true
	}
	return !slices.ContainsFunc(c.order, func(name string) bool {
		m := c.members[name]
		return !m.answered && m.info.State != node.StateFailed
	})
}

// advance returns the slots that are complete by now, or that have waited long enough for
// what is missing, in their order.
func (c *collection) advance(now time.Time) (done []int64) {
	if newest := int64(c.slots(now.Add(-lateness))); c.last < newest-slots { // the machine was asleep
		c.last = newest - slots
	}
	for c.complete(now, c.last+1) {
		c.last++
		done = append(done, c.last)
	}
	if len(done) > 0 {
		c.total.forget(c.last)
		for _, p := range c.chosen {
			p.forget(c.last)
		}
	}
	return done
}

func (c *collection) complete(now time.Time, slot int64) bool {
	late := now.Sub(c.endOf(slot))
	if late < 0 || late >= lateness {
		return late >= 0
	}
	for _, name := range c.order {
		if m := c.members[name]; m.fresh(now, c.stale()) && m.placing.run != 0 && m.placing.covered < slot {
			return false
		}
	}
	return true
}

// common returns what is the same for all pages.
func (c *collection) common(now time.Time) commonState {
	s := commonState{Node: c.self, Time: now.UTC().Truncate(time.Millisecond), Every: c.period().Milliseconds(), Members: c.list(now)}
	if m := c.members[c.self]; m != nil {
		s.Version, s.Routing = m.info.Version, m.info.Routing
	}
	return s
}

func (c *collection) list(now time.Time) []Member {
	list := make([]Member, 0, len(c.order))
	for _, name := range c.order {
		list = append(list, c.members[name].form(now, c.stale()))
	}
	return list
}

// state returns what is of a choice.
func (c *collection) state(now time.Time, choice Choice) chosenState {
	s := chosenState{Of: choice.Node}
	names := c.order
	if choice.Node != "" {
		names = nil
		switch m := c.members[choice.Node]; {
		case m == nil && !c.infosAt.IsZero():
			s.Problem = choice.Node + " is no member"
		case m != nil:
			names, s.Problem = []string{choice.Node}, m.trouble(now, c.stale())
		}
	}
	var figures [][]observe.KindFigures
	var busiest, longest [][]observe.HotID
	for _, name := range names {
		m := c.members[name]
		s.Live += m.info.Workers
		if m.fresh(now, c.stale()) {
			figures = append(figures, m.figures)
		}
		if choice.Hot && !m.toldHot.IsZero() && now.Sub(m.toldHot) <= c.stale() {
			busiest, longest = append(busiest, m.hot.Busiest), append(longest, m.hot.Longest)
		}
	}
	p := c.total
	if choice.Node != "" {
		if p, _ = c.pastOf(now, choice.Node); p == nil {
			p = newPast(nil, true)
		}
	}
	s.Kinds = kindsOf(figures, p, c.own)
	s.LeftOut = max(0, len(s.Kinds)-observe.MaxPasts)
	s.Kinds = s.Kinds[:len(s.Kinds)-s.LeftOut]
	for i := range s.Kinds {
		k := &s.Kinds[i]
		k.Rate = cleanRate(k.Rate)
		k.Minute = p.minute(k.Kind, c.last).message(p.bounds)
		if d := c.differs[k.Kind]; d != nil {
			k.Differs = d[:min(len(d), maxDiffers)]
		}
	}
	slices.SortFunc(s.Kinds, func(a, b kindState) int { return cmp.Compare(a.Kind, b.Kind) })
	if choice.Hot {
		s.Hot, s.Queues = hottest(busiest, busier), hottest(longest, longer)
	}
	return s
}

// findDiffers finds, for each kind that members define differently, those that do not
// define it as the serving node does.
func (c *collection) findDiffers() {
	c.differs = make(map[string][]string)
	for _, name := range c.order {
		for _, kind := range c.members[name].info.Differs {
			if list, ok := c.differs[kind]; ok || len(c.differs) < observe.MaxKinds {
				c.differs[kind] = append(list, name)
			}
		}
	}
}
