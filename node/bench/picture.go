package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/distproc/distproc/wire/text"
)

const (
	maxBars  = 20
	minWidth = 8  // of the longest bar, however narrow the terminal is
	beside   = 15 // columns of a line that are for neither bound, nor number, nor bar
)

// decades are ways to divide 1 to 10, in steps of about the same ratio: those of IEC
// 60063, and coarser ones.
var decades = [][]float64{
	{1, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2, 2.2, 2.4, 2.7, 3, 3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6, 6.2, 6.8, 7.5, 8.2, 9.1},
	{1, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2},
	{1, 1.5, 2.2, 3.3, 4.7, 6.8},
	{1, 2, 5},
	{1},
}

// A bar is how many latencies there are up to a bound, and over that of the bar before.
type bar struct {
	bound time.Duration
	count int64
}

// picture draws a distribution as a bar for each range of latencies, in columns of a
// terminal.
func picture(d []hdrhistogram.Bar, columns int) string {
	bars := barsOf(d)
	var total, most int64
	label := 0
	for _, b := range bars {
		total += b.count
		most = max(most, b.count)
		label = max(label, utf8.RuneCountInString(b.bound.String()))
	}
	number := len(strconv.FormatInt(most, 10))
	width := max(minWidth, columns-label-number-beside)
	var s strings.Builder
	for _, b := range bars {
		line := fmt.Sprintf("≤ %*s  %*d  %5.1f %%  %s", label, b.bound, number, b.count, 100*float64(b.count)/float64(total), text.Bar(float64(b.count), float64(most), width))
		s.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return s.String()
}

// barsOf gathers a distribution in bars as narrow as maxBars allow.
func barsOf(d []hdrhistogram.Bar) (bars []bar) {
	for _, steps := range decades {
		if bars = gather(d, steps); len(bars) <= maxBars {
			break
		}
	}
	return bars
}

func gather(d []hdrhistogram.Bar, steps []float64) (bars []bar) {
	exponent, step := 1, 0 // from 10 ns
	bound := func() time.Duration { return time.Duration(math.Round(steps[step] * math.Pow10(exponent))) }
	for _, h := range d {
		if h.Count == 0 {
			continue
		}
		for len(bars) == 0 || int64(bars[len(bars)-1].bound) < h.From {
			next := bar{bound: bound()}
			if step++; step == len(steps) {
				exponent, step = exponent+1, 0
			}
			if len(bars) > 0 || int64(next.bound) >= h.From {
				bars = append(bars, next)
			}
		}
		bars[len(bars)-1].count += h.Count
	}
	return bars
}
