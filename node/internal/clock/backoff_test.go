package clock

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := Backoff{First: 10, Last: 35}
	var got []time.Duration
	for i := range 6 {
		if i == 4 {
			b.Reset()
		}
		got = append(got, b.Next())
	}
	if want := []time.Duration{10, 20, 35, 35, 10, 20}; !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		b, start := Backoff{First: time.Second, Last: time.Hour, Random: true}, time.Now()
		if !b.Sleep(t.Context()) {
			t.Error("it gave up")
		}
		if took := time.Since(start); took < time.Second/2 || took >= 3*time.Second/2 {
			t.Errorf("the first pause took %v", took)
		}
	})
}
