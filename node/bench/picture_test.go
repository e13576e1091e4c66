package bench

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencies returns the distribution of so many requests for each latency.
func latencies(counts map[time.Duration]int64) []hdrhistogram.Bar {
	r := newResult()
	for took, n := range counts {
		for range n {
			r.add(&tally{took: [256]time.Duration{took}, requests: 1})
		}
	}
	return r.Latency.Distribution()
}

func TestPicture(t *testing.T) {
	for _, c := range []struct {
		columns int
		counts  map[time.Duration]int64
		want    string
	}{
		{40, map[time.Duration]int64{50 * time.Microsecond: 100}, `
≤ 51µs  100  100.0 %  ██████████████████
`},
		{40, map[time.Duration]int64{100 * time.Microsecond: 80, 109 * time.Microsecond: 39, 111 * time.Microsecond: 1, 170 * time.Microsecond: 30}, `
≤ 100µs  80   53.3 %  ██████████████████
≤ 110µs  39   26.0 %  ████████▊
≤ 120µs   1    0.7 %  ▎
≤ 130µs   0    0.0 %
≤ 150µs   0    0.0 %
≤ 160µs   0    0.0 %
≤ 180µs  30   20.0 %  ██████▊
`},
		{0, map[time.Duration]int64{time.Nanosecond: 1000, 100 * time.Nanosecond: 1, 5 * time.Hour: 500}, `
≤     10ns  1000   66.6 %  ████████
≤    100ns     1    0.1 %  ▏
≤      1µs     0    0.0 %
≤     10µs     0    0.0 %
≤    100µs     0    0.0 %
≤      1ms     0    0.0 %
≤     10ms     0    0.0 %
≤    100ms     0    0.0 %
≤       1s     0    0.0 %
≤      10s     0    0.0 %
≤    1m40s     0    0.0 %
≤   16m40s     0    0.0 %
≤ 2h46m40s   500   33.3 %  ████
`},
	} {
		if got := picture(latencies(c.counts), c.columns); got != c.want[1:] {
			t.Errorf("it draws\n%swant%s", got, c.want)
		}
	}
}

// TestPictureFits draws wide and narrow distributions, in wide and narrow terminals: no
// line is longer than the terminal, and all requests are in some bar.
func TestPictureFits(t *testing.T) {
	for low := 50 * time.Nanosecond; low < time.Hour; low *= 49 {
		for high := low + 3; high < time.Hour; high *= 9 {
			d := latencies(map[time.Duration]int64{low: 1, low + (high-low)/3: 9, high: 90})
			bars := barsOf(d)
			total := int64(0)
			for i, b := range bars {
				total += b.count
				if i > 0 && b.bound <= bars[i-1].bound {
					t.Fatalf("%v to %v: bounds %v, %v", low, high, bars[i-1].bound, b.bound)
				}
			}
			if total != 100 || len(bars) > maxBars || bars[0].count == 0 || bars[len(bars)-1].count == 0 {
				t.Errorf("%v to %v: %d requests in %d bars: %v", low, high, total, len(bars), bars)
			}
			for _, columns := range []int{40, 80, 200} {
				lines := strings.Split(strings.TrimSuffix(picture(d, columns), "\n"), "\n")
				longest := 0
				for _, line := range lines {
					longest = max(longest, utf8.RuneCountInString(line))
				}
				if longest != columns {
					t.Errorf("%v to %v: the longest line has %d columns of %d", low, high, longest, columns)
				}
			}
		}
	}
}
