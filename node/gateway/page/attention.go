package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// These are the thresholds from which on the hub says that something needs attention. A
// share is a part of the requests or runs that a kind had in the last minute.
const (
	heldFor      = 5 * time.Second         // for which a notice is shown at least, so that it can be read
	gapFor       = 2500 * time.Millisecond // a condition that is back so soon has not been away
	fewest       = 5                       // requests or runs of which a share tells something
	failedWarn   = 0.01                    // of the requests
	failedError  = 0.1                     //
	degradedWarn = 0.01                    //
	staleInfo    = 0.1                     //
	staleWarn    = 0.5                     //
	runsWarn     = 0.1                     // of the runs that fail
	runsError    = 0.5                     //
	slowRun      = runTime / 2             // a run takes nearly its whole time; the bound of a bucket
	slowWarn     = 0.01                    // of the runs that are slow
	queueWarn    = 1000                    // calls that wait for one id
	queueError   = queueSize * 8 / 10
	queueGrows   = 100              // calls that wait for one id, from which on growth counts
	growth       = 1.5              // of a queue that grows, in growthTime
	growthTime   = 10 * time.Second //
	busyFor      = 5 * time.Second  // all runs of a kind are in use while others wait
	thrash       = 0.5              // workers evicted, of the runs
	memoryFull   = 0.9              // of the limit
	clockOff     = 2 * time.Second
	leaderless   = 3 * time.Second // an election takes less
	leaseless    = 2 * time.Second
	viewsFor     = time.Minute // more than one view, before it is told

	runTime   = worker.DefaultTimeout // that a run has, unless its kind says otherwise
	queueSize = worker.DefaultQueue   // calls that may wait for one id, unless its kind says otherwise

	namesShown = 5 // members in one sentence
	maxHeld    = 5000
)

// A Notice is a sentence about what needs attention.
type Notice struct {
	Level string `json:"level"` // error, warn or info
	Text  string `json:"text"`
	Node  string `json:"node,omitempty"` // that it is about
	Kind  string `json:"kind,omitempty"` // that it is about
}

// A topic is what a notice is about. Of two notices of one level, that of the lower topic is
// the worse.
type topic int

const (
	aboutList topic = iota // the members cannot be listed
	aboutFailed
	aboutReach
	aboutMemberStuck
	aboutStuck
	aboutApart
	aboutUnready
	aboutQuorum
	aboutLeader
	aboutVoter
	aboutLease
	aboutRequests
	aboutRuns
	aboutQueue
	aboutGrowth
	aboutSlow
	aboutConcurrency
	aboutDegraded
	aboutStale
	aboutKinds
	aboutViews
	aboutClock
	aboutFigures
	aboutMemory
	aboutEvictions
	aboutVersions
)

// level is how bad something is.
type level int

const (
	isError level = iota
	isWarn
	isInfo
)

func (l level) String() string { return [...]string{"error", "warn", "info"}[l] }

// A subject is what a notice is about, and of which node and kind.
type subject struct {
	topic      topic
	node, kind string
}

// An attention remembers what needed attention a while ago: what comes and goes is shown as
// if it stayed, and some conditions count only when they last.
type attention struct {
	held   map[subject]*held
	queues map[subject]queue // lengths some time ago
}

// A held is a condition that is true, or was a while ago.
type held struct {
	notice       Notice // empty while it is too young to be told
	level        level
	worst        time.Time // when it had that level last
	since, until time.Time // when it was true
}

// A queue is the length of the longest queue at a time, and at the one before.
type queue struct {
	at, before time.Time
	now, old   int
}

func newAttention() attention {
	return attention{held: make(map[subject]*held), queues: make(map[subject]queue)}
}

// notices returns what needs attention, the worst first: at most maxNotices, and one more
// that counts the others. It is to be called once in each round.
func (c *collection) notices(now time.Time) []Notice {
	f := finder{c, &c.watch, now}
	if c.problem != "" {
		f.say(isError, subject{topic: aboutList}, "%s cannot list the members: %s", c.self, c.problem)
	}
	for _, name := range c.order {
		f.member(name, c.members[name])
	}
	f.quorum()
	f.definitions()
	f.versions()
	for kind := range c.total.kinds {
		f.minute(kind, c.total.minute(kind, c.last))
	}
	f.watch.expire(now, max(gapFor, 5*c.period()/2))
	return f.watch.list()
}

// expire forgets conditions that have not been true for longer than a gap, and have been
// shown for long enough.
func (a *attention) expire(now time.Time, gap time.Duration) {
	maps.DeleteFunc(a.held, func(_ subject, h *held) bool {
		return now.Sub(h.until) > gap && (h.notice.Text == "" || now.Sub(h.since) > heldFor)
	})
	maps.DeleteFunc(a.queues, func(_ subject, q queue) bool { return now.Sub(q.at) > 2*growthTime })
}

// list returns the notices.
func (a *attention) list() []Notice {
	told := make([]subject, 0, len(a.held))
	for s, h := range a.held {
		if h.notice.Text != "" {
			told = append(told, s)
		}
	}
	slices.SortFunc(told, func(x, y subject) int {
		return cmp.Or(cmp.Compare(a.held[x].level, a.held[y].level), cmp.Compare(x.topic, y.topic),
			cmp.Compare(x.kind, y.kind), cmp.Compare(x.node, y.node))
	})
	list := make([]Notice, 0, min(len(told), maxNotices+1))
	for _, s := range told[:min(len(told), maxNotices)] {
		list = append(list, a.held[s].notice)
	}
	if more := len(told) - maxNotices; more > 0 {
		list = append(list, Notice{Level: a.held[told[maxNotices]].level.String(), Text: fmt.Sprintf("and %d more, none of them worse", more)})
	}
	return list
}

// A finder looks for what needs attention at one time.
type finder struct {
	*collection
	watch *attention
	now   time.Time
}

// lasts records that a condition is true, and returns for how long it has been so.
func (f finder) lasts(s subject) time.Duration {
	h := f.watch.held[s]
	if h == nil {
		h = &held{since: f.now, level: isInfo}
		if len(f.watch.held) < maxHeld {
			f.watch.held[s] = h
		}
	}
	h.until = f.now
	return f.now.Sub(h.since)
}

// say records a notice. One that was worse a moment ago stays so for a while.
func (f finder) say(l level, s subject, format string, args ...any) {
	f.lasts(s)
	h := f.watch.held[s]
	if h == nil {
		return
	}
	if l <= h.level || f.now.Sub(h.worst) > heldFor {
		h.level, h.worst = l, f.now
	}
	h.notice = Notice{Level: h.level.String(), Text: text.Line(fmt.Sprintf(format, args...), maxWhy), Node: s.node, Kind: s.kind}
}

// member looks at one member.
func (f finder) member(name string, m *member) {
	n := &m.info
	at := func(t topic) subject { return subject{topic: t, node: name} }
	switch {
	case n.State == node.StateFailed && n.Kept > 0 && n.Kept < worker.Forever/2:
		f.say(isError, at(aboutFailed), "%s failed %s ago; its ids wait another %s for its return: start it again, or disconnect it for good",
			name, lasting(n.Since), lasting(n.Kept))
	case n.State == node.StateFailed:
		f.say(isError, at(aboutFailed), "%s failed %s ago; its ids wait for its return: start it again, or disconnect it for good", name, lasting(n.Since))
	case n.State == node.StateStuck:
		f.say(isError, at(aboutMemberStuck), "%s is stuck for %s: it answers pings but no calls; is it stopped, or short of memory or CPU?", name, lasting(n.Since))
	case n.Problem != "":
		f.say(isError, at(aboutReach), "%s does not answer %s: %s", name, f.self, n.Problem)
	}
	if n.Problem != "" || n.State == node.StateFailed {
		return
	}
	if n.Apart {
		f.say(isError, at(aboutApart), "%s is apart: it was disconnected, and starts no server of a serial kind; connect it again, or let it go alone", name)
	} else if n.Unready != "" && (n.Quorum == nil || n.Quorum.Quorum) { // else quorum tells it, of all at once
		f.say(isError, at(aboutUnready), "%s is not ready: %s", name, n.Unready)
	}
	if n.MaxValues > 0 && float64(n.Values) >= memoryFull*float64(n.MaxValues) {
		f.say(isWarn, at(aboutMemory), "%s: values take %s of the memory that they may take, %s: raise --max-memory, or keep fewer values",
			name, percent(uint64(n.Values), uint64(n.MaxValues)), size(n.MaxValues))
	}
	if why := m.trouble(f.now, f.stale()); why != "" {
		l := isWarn
		if m.refuses {
			l = isInfo
		}
		f.say(l, at(aboutFigures), "%s is missing in the figures: %s", name, why)
	}
	if !m.fresh(f.now, f.stale()) {
		if n.Stuck > 0 {
			f.say(isError, at(aboutStuck), "%s has %s", name, counted(n.Stuck, "run of a source that does not end", "runs of sources that do not end"))
		}
		return
	}
	if off := m.clock; m.hasClock && max(off, -off) > clockOff {
		way := "ahead of"
		if off < 0 {
			way = "behind"
		}
		f.say(isWarn, at(aboutClock), "the clock of %s is %s %s that of %s: the times of its events are wrong; is its clock set by NTP?", name, lasting(max(off, -off)), way, f.self)
	}
	for i := range m.figures {
		f.kind(name, &m.figures[i])
	}
}

// kind looks at what a kind does now on one member.
func (f finder) kind(name string, k *observe.KindFigures) {
	at := func(t topic) subject { return subject{t, name, k.Kind} }
	if k.Stuck > 0 {
		f.say(isError, at(aboutStuck), "%s: stuck for kind %s for %s: %s, and calls for %s wait", name, k.Kind, lasting(k.StuckFor),
			counted(k.Stuck, "run goes on although its time is up", "runs go on although their time is up"),
			map[bool]string{true: "its id", false: "their ids"}[k.Stuck == 1])
	}
	switch {
	case k.Longest >= queueError:
		f.say(isError, at(aboutQueue), "%s: %d calls wait for one id of kind %s; beyond %d they are refused, unless its queue is set otherwise", name, k.Longest, k.Kind, queueSize)
	case k.Longest >= queueWarn:
		f.say(isWarn, at(aboutQueue), "%s: %d calls wait for one id of kind %s", name, k.Longest, k.Kind)
	}
	if k.Longest >= queueGrows {
		if old, ok := f.watch.grown(f.now, at(aboutGrowth), k.Longest); ok {
			f.say(isWarn, at(aboutGrowth), "%s: a queue of kind %s grows: %d calls wait for one id, %d did %s ago", name, k.Kind, k.Longest, old, lasting(growthTime))
		}
	}
	if k.Concurrency > 0 && k.Running >= k.Concurrency && k.Queued > 0 {
		if d := f.lasts(at(aboutConcurrency)); d >= busyFor {
			f.say(isWarn, at(aboutConcurrency), "%s: all %d runs that kind %s may have are in use for %s, and %d wait: raise its concurrency, or make its source faster",
				name, k.Concurrency, k.Kind, lasting(d), k.Queued)
		}
	}
	if k.MaxBytes > 0 && float64(k.Bytes) >= memoryFull*float64(k.MaxBytes) {
		f.say(isInfo, at(aboutMemory), "%s: values of kind %s take %s of the memory that they may take, %s: raise its max_bytes, or keep fewer values",
			name, k.Kind, percent(uint64(k.Bytes), uint64(k.MaxBytes)), size(k.MaxBytes))
	}
}

// grown returns how long a queue was a while ago, and whether it has grown a lot since.
func (a *attention) grown(now time.Time, s subject, length int) (old int, ok bool) {
	q := a.queues[s]
	if q.at.IsZero() {
		if len(a.queues) < maxHeld {
			a.queues[s] = queue{at: now, now: length}
		}
		return 0, false
	}
	if now.Sub(q.at) >= growthTime {
		q = queue{at: now, before: q.at, now: length, old: q.now}
		a.queues[s] = q
	}
	if q.before.IsZero() {
		return 0, false
	}
	return q.old, float64(length) >= growth*float64(q.old)
}

// minute looks at what a kind did in the last minute, on all members.
func (f finder) minute(kind string, m minute) {
	at := func(t topic) subject { return subject{topic: t, kind: kind} }
	share := func(part, whole uint64) float64 {
		if whole < fewest {
			return 0
		}
		return float64(part) / float64(whole)
	}
	// of writes a part of the whole.
	of := func(part, whole uint64, what string) string {
		return fmt.Sprintf("%s of the %s of the last minute (%d of %d)", percent(part, whole), what, part, whole)
	}
	switch s := share(m.failed, m.requests); {
	case s >= failedError:
		f.say(isError, at(aboutRequests), "kind %s: %s failed; the log of the nodes says why", kind, of(m.failed, m.requests, "requests"))
	case s >= failedWarn:
		f.say(isWarn, at(aboutRequests), "kind %s: %s failed; the log of the nodes says why", kind, of(m.failed, m.requests, "requests"))
	}
	if share(m.degraded, m.requests) >= degradedWarn {
		f.say(isWarn, at(aboutDegraded), "kind %s: %s were answered in place of an owner that cannot be reached", kind, of(m.degraded, m.requests, "requests"))
	}
	if s := share(m.stale, m.requests); s >= staleInfo {
		l := isInfo
		if s >= staleWarn {
			l = isWarn
		}
		f.say(l, at(aboutStale), "kind %s: %s were answered with old values, as the source fails or is slow", kind, of(m.stale, m.requests, "requests"))
	}
	if s := share(m.runsFailed, m.runs); s >= runsWarn {
		l := isWarn
		if s >= runsError {
			l = isError
		}
		f.say(l, at(aboutRuns), "kind %s: %s failed: look at its source", kind, of(m.runsFailed, m.runs, "runs"))
	}
	if slow := above(f.bounds, m.took, slowRun); share(slow, m.runs) >= slowWarn {
		f.say(isWarn, at(aboutSlow), "kind %s: %s took longer than %s; a run has %s, unless the kind says otherwise: look at its source",
			kind, of(slow, m.runs, "runs"), slowRun, runTime)
	}
	if m.evicted > 0 {
		l := isInfo
		if float64(m.evicted) >= thrash*float64(m.runs) && m.evicted >= fewest {
			l = isWarn
		}
		f.say(l, at(aboutEvictions), "kind %s: %s in the last minute, to free memory: raise its max_bytes or --max-memory",
			kind, counted(int(min(m.evicted, maxCount)), "worker went before its time", "workers went before their time"))
	}
}

// above returns how many durations are certainly above a bound.
func above(bounds []time.Duration, counts []uint64, bound time.Duration) (n uint64) {
	for i, b := range bounds {
		if b >= bound && i+1 < len(counts) {
			n += counts[i+1]
		}
	}
	return n
}

// quorum looks at the voters of strict kinds.
func (f finder) quorum() {
	var voters, none []string
	led, why := false, ""
	for _, name := range f.order {
		n := f.members[name].info
		q := n.Quorum
		if q == nil || n.Problem != "" || n.State == node.StateFailed {
			continue
		}
		if len(q.Voters) > len(voters) {
			voters = q.Voters
		}
		led = led || q.Leads
		switch {
		case !q.Quorum:
			if none = append(none, name); why == "" {
				why = q.Why
			}
		case q.Lease == 0:
			if d := f.lasts(subject{topic: aboutLease, node: name}); d >= leaseless {
				f.say(isError, subject{topic: aboutLease, node: name}, "%s has had no lease for %s, and starts no call of a strict kind", name, lasting(d))
			}
		}
		if q.Views > 1 {
			if d := f.lasts(subject{topic: aboutViews, node: name}); d >= viewsFor {
				f.say(isWarn, subject{topic: aboutViews, node: name},
					"%s has had %d views of the members for %s: a member that was lost may still hold ids of strict kinds, which wait", name, q.Views, lasting(d))
			}
		}
	}
	if len(none) > 0 {
		f.say(isError, subject{topic: aboutQuorum}, "no quorum of strict kinds on %s: %s", namesOf(none), cmp.Or(why, "no leader answers"))
	}
	if voters == nil {
		return
	}
	if !led {
		if d := f.lasts(subject{topic: aboutLeader}); d >= leaderless {
			f.say(isError, subject{topic: aboutLeader}, "no leader of the voters %s has been seen for %s: calls of strict kinds wait", namesOf(voters), lasting(d))
		}
	}
	f.voters(voters)
}

// voters looks for voters that are silent.
func (f finder) voters(voters []string) {
	silent := func(name string) bool {
		m := f.members[name]
		if m == nil || m.info.State != node.StateAlive || m.info.Problem != "" {
			return true
		}
		return slices.ContainsFunc(f.order, func(asker string) bool {
			q := f.members[asker].info.Quorum
			return q != nil && slices.Contains(q.Silent, name)
		})
	}
	var lost []string
	for _, v := range voters {
		if silent(v) {
			lost = append(lost, v)
		}
	}
	needed := len(voters)/2 + 1
	for _, v := range lost {
		l := isWarn
		if len(voters)-len(lost) < needed {
			l = isError
		}
		f.say(l, subject{topic: aboutVoter, node: v}, "voter %s is silent: %d of %d voters answer, and %d are needed: start it again",
			v, len(voters)-len(lost), len(voters), needed)
	}
}

// definitions looks for kinds that members define differently.
func (f finder) definitions() {
	var here map[string]string
	if m := f.members[f.self]; m != nil {
		here = m.info.Kinds
	}
	for kind, names := range f.differs {
		if !text.IsName(kind) {
			continue
		}
		var lack, other, alone []string
		_, own := here[kind]
		for _, name := range names {
			switch _, has := f.members[name].info.Kinds[kind]; {
			case !has:
				lack = append(lack, name)
			case !own:
				alone = append(alone, name)
			default:
				other = append(other, name)
			}
		}
		var what []string
		if other != nil {
			what = append(what, namesOf(other)+verb(other, " defines", " define")+" it otherwise than "+f.self)
		}
		if lack != nil {
			what = append(what, namesOf(lack)+verb(lack, " lacks", " lack")+" it")
		}
		if alone != nil {
			what = append(what, f.self+" lacks it, and "+namesOf(alone)+verb(alone, " has", " have")+" it")
		}
		s := subject{topic: aboutKinds, kind: kind}
		if len(names) == 1 {
			s.node = names[0]
		}
		f.say(isWarn, s, "kind %s: %s: let all nodes read the same file of kinds", kind, strings.Join(what, "; "))
	}
}

// versions looks for members of different versions.
func (f finder) versions() {
	by := make(map[string][]string)
	for _, name := range f.order {
		if v := f.members[name].info.Version; v != "" {
			by[v] = append(by[v], name)
		}
	}
	if len(by) < 2 {
		return
	}
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", text.Clip(v), namesOf(by[v])))
	}
	if more := len(parts) - namesShown; more > 0 {
		parts = append(parts[:namesShown], counted(more, "other", "others"))
	}
	f.say(isInfo, subject{topic: aboutVersions}, "the nodes have %d versions: %s: an upgrade has not ended", len(by), strings.Join(parts, "; "))
}

// namesOf lists names, but not too many.
func namesOf(names []string) string {
	if more := len(names) - namesShown; more > 1 {
		return strings.Join(names[:namesShown], ", ") + fmt.Sprintf(" and %d others", more)
	}
	return strings.Join(names, ", ")
}

func verb(names []string, one, many string) string {
	if len(names) == 1 {
		return one
	}
	return many
}

// counted writes a number of things.
func counted(n int, one, many string) string {
	return fmt.Sprintf("%d %s", n, verb(make([]string, min(n, 2)), one, many))
}

// lasting writes a duration for people, in its largest unit that says enough.
func lasting(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return fmt.Sprintf("%d years", int(d.Hours()/24/365))
}

// percent writes a part of a whole, and neither all nor nothing unless it is.
func percent(part, whole uint64) string {
	p := 100 * float64(part) / float64(max(whole, 1))
	switch {
	case part == whole:
		return "100 %"
	case p >= 99:
		return "99 %"
	case p >= 10:
		return fmt.Sprintf("%.0f %%", p)
	}
	return fmt.Sprintf("%.1f %%", max(p, 0.1))
}

// size writes a number of bytes.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	x, unit := float64(n)/(1<<10), 0
	for x >= 1<<10 && unit < len(units)-1 {
		x, unit = x/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %ciB", x, units[unit])
}
