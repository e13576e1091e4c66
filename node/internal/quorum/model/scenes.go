package model

import (
	"fmt"
	"slices"
)

// A Scene is an event in a calm cluster of five, led by slot 0. It measures for how long
// each id has no place: no process runs it or may start it under a valid lease, seen from
// slot 4. The network takes 0.3 to 0.7 ms, a member fails after 2 s of silence, and the
// election timeout is 1 to 2 s.
type Scene struct {
	Name   string
	victim int // slot of the ids that count as own; all do if it is new
	play   func(*sim)

	Own, Others Limit
	Leaves      float64 // the longest time that a member takes to leave, in s; 0 if none does
}

// A Limit is the time without a place, in s, that the README states: half of all ids have
// none for Median, and the others for up to Most.
type Limit struct{ Median, Most float64 }

// Figures is what a scene costs.
type Figures struct {
	Own, Others []float64 // s without a place at a stretch, one for each id and seed; sorted
	Leaves      []float64 // s that members took to leave; sorted
	Views       float64   // new ones, per seed
	Unknown     float64   // calls that were not acknowledged, per seed
}

// Within reports that no id has waited for longer than the scene allows, and no member that
// left.
func (f Figures) Within(s Scene) bool {
	return quantile(f.Own, 1) <= s.Own.Most && quantile(f.Others, 1) <= s.Others.Most && quantile(f.Leaves, 1) <= s.Leaves
}

// Usual reports that the medians are those of the scene, or less.
func (f Figures) Usual(s Scene) bool {
	const rounded = 0.05
	return quantile(f.Own, .5) <= s.Own.Median+rounded && quantile(f.Others, .5) <= s.Others.Median+rounded
}

// String writes the limit as the table of the README has it.
func (l Limit) String() string { return fmt.Sprintf("%v / %v", l.Median, l.Most) }

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))]
}

func (f Figures) String() string {
	three := func(x []float64) string {
		if len(x) == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f %.2f %.2f", quantile(x, .5), quantile(x, .95), quantile(x, 1))
	}
	return fmt.Sprintf("%18s %18s %18s %5.1f %7.1f", three(f.Own), three(f.Others), three(f.Leaves), f.Views, f.Unknown)
}

// Measure plays the scene for the seeds from 0 on.
func (sc Scene) Measure(seeds int, m Mutant) (f Figures) {
	for seed := range uint64(seeds) {
		sc.measure(seed, m, &f)
	}
	f.Views /= float64(seeds)
	f.Unknown /= float64(seeds)
	slices.Sort(f.Own)
	slices.Sort(f.Others)
	slices.Sort(f.Leaves)
	return f
}

const (
	sceneTime = 30.0
	sample    = 0.005
)

func (sc Scene) measure(seed uint64, m Mutant, f *Figures) {
	s := newSim(seed, m, 8, true)
	s.ids = 30
	s.minGap = 1
	s.start()
	for slot := range 5 {
		s.boot(slot)
	}
	s.run(11.5 + s.r.Float64())
	before := newest(s.nodes[4].views)
	views := s.epochs
	sc.play(s)
	for x, d := range s.gaps(s.now + sceneTime) {
		if sc.victim >= 5 || before.acting(id(x)).slot == sc.victim {
			f.Own = append(f.Own, d)
		} else {
			f.Others = append(f.Others, d)
		}
	}
	f.Leaves = append(f.Leaves, s.left...)
	f.Views += float64(s.epochs - views)
	f.Unknown += float64(s.history.check().Unknown)
}

// gaps runs until end and returns the longest time without a place, by id.
func (s *sim) gaps(end float64) []float64 {
	const watcher = 4
	longest, since := make([]float64, s.ids), make([]float64, s.ids)
	last := make([]*node, s.ids) // had it; probably has it still
	for x := range since {
		since[x] = s.now
	}
	for s.now < end {
		s.run(s.now + sample)
		for x := range since {
			if n := last[x]; n == nil || !s.reaches(n, watcher) || !n.places(id(x)) {
				last[x] = s.placeOf(id(x), watcher)
			}
			if last[x] != nil {
				since[x] = s.now
			}
			longest[x] = max(longest[x], s.now-since[x])
		}
	}
	return longest
}
