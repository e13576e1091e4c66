package kinds

import (
	"fmt"
	"testing"
	"time"
)

// TestMeter has a rate over the last five seconds, whoever looks and when.
func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter
	start := time.Unix(1000, 0)
	answers := uint64(0)
	var got []float64
	look := func(second float64) {
		got = append(got, m.rate(sample{start.Add(time.Duration(second * float64(time.Second))), answers}))
	}
	look(0) // nothing is known yet
	for second := range 30 {
		m.note(sample{start.Add(time.Duration(second) * time.Second), answers})
		switch {
		case second == 0:
			answers = 8 // a node that has just started
			look(0.001)
			look(0.002)
		case second < 10:
			answers += 20
		case second >= 27:
			answers += 10
		}
		if second == 2 || second == 9 || second == 12 || second == 20 {
			look(float64(second) + 0.5)
			look(float64(second) + 0.5)
		}
	}
	if n := len(m.samples); n > 7 {
		t.Errorf("%d samples are kept", n)
	}
	look(1000) // the process was stopped after the last sample
	answers = 0
	look(1000)
	// 48 in 2.5 s; 120 in 5.5 s; 60 in 5.5 s; nothing; 10 in 971 s
	want := fmt.Sprint([]float64{0, 8, 8, 48 / 2.5, 48 / 2.5, 120 / 5.5, 120 / 5.5, 60 / 5.5, 60 / 5.5, 0, 0, 10.0 / 971, 0})
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
