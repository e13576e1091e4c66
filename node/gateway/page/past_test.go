package page

import (
	"math"
	"testing"
	"time"

	"github.com/distproc/distproc/node/observe"
)

// TestCells adds samples to one place of the ring: counts stop at their highest value, and a
// sample that is older than the ring replaces nothing.
func TestCells(t *testing.T) {
	t.Parallel()
	p := newPast(testBounds, false)
	buckets := bucketsOf(testBounds, testBounds)
	own := func(string) bool { return false }
	s := observe.Sample{Latency: []uint32{math.MaxUint32, 1, 0, 0, 0, 0}, Failed: math.MaxUint32}
	for range 3 {
		p.know(1000)
		p.add("price", 1000, &s, buckets, own)
	}
	old := observe.Sample{Latency: []uint32{1, 0, 0, 0, 0, 0}}
	p.know(1000 - ringSlots)
	p.add("price", 1000-ringSlots, &old, buckets, own)
	p.add("price", -5, &old, buckets, own)
	m := p.minute("price", 1000)
	if m.requests != math.MaxUint32 || m.failed != math.MaxUint32 || m.latency[0] != math.MaxUint32 || m.latency[1] != 3 {
		t.Errorf("%+v", m)
	}
	if !p.knows(1000) || p.knows(1000-ringSlots) {
		t.Error("what is known of a slot was replaced by an older one")
	}
}

// TestBuckets counts histograms of other bounds in the buckets here.
func TestBuckets(t *testing.T) {
	t.Parallel()
	here := []time.Duration{1, 10, 100}
	for _, c := range []struct {
		theirs []time.Duration
		want   []int
	}{
		{[]time.Duration{1, 10, 100}, []int{0, 1, 2, 3}},
		{[]time.Duration{5, 10, 50, 200}, []int{1, 1, 2, 3, 3}},
		{[]time.Duration{1000}, []int{3, 3}},
		{nil, nil}, {[]time.Duration{0}, nil}, {[]time.Duration{2, 2}, nil}, {[]time.Duration{2, 1}, nil}, {make([]time.Duration, 1000), nil},
	} {
		got := bucketsOf(here, c.theirs)
		if len(got) != len(c.want) {
			t.Errorf("%v: %v, want %v", c.theirs, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%v: %v, want %v", c.theirs, got, c.want)
				break
			}
		}
	}
}

// TestQuantiles has the bucket in which a part of a histogram ends.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		counts []uint64
		part   float64
		ms     float64
		over   bool
	}{
		{[]uint64{99, 1, 0}, 0.99, 1, false},
		{[]uint64{98, 2, 0}, 0.99, 10, false},
		{[]uint64{0, 0, 1}, 0.5, 10, true},
		{[]uint64{1, 0, 0}, 0.99, 1, false},
		{[]uint64{0, 0, 0}, 0.99, -1, false},
	} {
		bounds := []time.Duration{time.Millisecond, 10 * time.Millisecond}
		if ms, over := boundOf(bounds, bucket(c.counts, c.part)); ms != c.ms || over != c.over {
			t.Errorf("%v of %v is %v, %t; want %v, %t", c.part, c.counts, ms, over, c.ms, c.over)
		}
	}
}
