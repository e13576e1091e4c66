package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"
)

// A bench measures groups, one at a time.
type bench struct {
	rounds   int
	each     time.Duration // how long a program is measured in a round
	programs []string      // those that are not Go
	progress io.Writer
	closers  []func() // of the group
}

// with says whether a program that is not Go takes part.
func (b *bench) with(program string) bool { return slices.Contains(b.programs, program) }

func (b *bench) close() {
	for _, f := range slices.Backward(b.closers) {
		f()
	}
	b.closers = nil
}

// A group is what is compared in one table, under some loads.
type group struct {
	title string
	loads []load
	ours  []contender // distproc
	peers []contender
}

// A load is how many callers call how many ids. Each caller waits for its answer.
type load struct {
	name         string
	callers, ids int
}

// keys is how many ids there are for the callers of another process.
const keys = 4096

// remote are the loads of another process.
var remote = []load{{"1", 1, keys}, {"64", 64, keys}, {"1,024 in flight", 1024, keys}}

// turns returns a function that returns the indexes of the ids that a caller calls. If
// there are no more ids than callers, it keeps to one. Otherwise it takes all in turn.
func turns(caller int, l load) func() int {
	next := caller * l.ids / l.callers
	return func() int {
		i := next
		if l.ids > l.callers {
			next = (next + 1) % l.ids
		}
		return i
	}
}

// value returns what the value of an id is in all programs.
func value(id string) string { return "the value of " + id }

// message returns what a caller sends, and what it wants as the answer.
func message(caller int) string { return fmt.Sprint("a message of ", caller) }

func unexpected(have, want any) error { return fmt.Errorf("the answer is %+v, not %+v", have, want) }

// A contender is a program that is measured.
type contender struct {
	name  string
	like  string      // only those that have the same one are compared
	rates [][]float64 // for each load those of the rounds, in calls per second

	// rate measures for some time.
	rate func(ctx context.Context, l load, d time.Duration) (float64, error)
}

// inGo returns a contender whose callers run in this process. A caller has a number from
// 0; it calls the function that it got from call again and again.
func inGo(name string, call func(caller int, l load) func() error) contender {
	rate := func(ctx context.Context, l load, d time.Duration) (float64, error) {
		var stop atomic.Bool
		var calls atomic.Int64
		callers, _ := errgroup.WithContext(ctx)
		began := time.Now()
		for i := range l.callers {
			f := call(i, l)
			callers.Go(func() error {
				n := int64(0)
				defer func() { calls.Add(n) }()
				for n == 0 || !stop.Load() {
					if err := f(); err != nil {
						stop.Store(true)
						return err
					}
					n++
				}
				return nil
			})
		}
		defer time.AfterFunc(d, func() { stop.Store(true) }).Stop()
		err := callers.Wait()
		return float64(calls.Load()) / time.Since(began).Seconds(), err
	}
	return contender{name: name, rate: rate}
}

// compare measures the contenders of a group in turns.
func (b *bench) compare(ctx context.Context, g *group) error {
	var all []*contender
	for i := range g.ours {
		all = append(all, &g.ours[i])
	}
	for i := range g.peers {
		all = append(all, &g.peers[i])
	}
	for _, l := range g.loads {
		for _, c := range all {
			c.rates = append(c.rates, nil)
		}
		for round := -1; round < b.rounds; round++ { // the first one only warms up
			for i := range all {
				c := all[(i+round+1)%len(all)]
				rate, err := c.rate(ctx, l, b.each)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, l.name, err)
				}
				if last := len(c.rates) - 1; round >= 0 {
					c.rates[last] = append(c.rates[last], rate)
				}
			}
		}
		for _, c := range all {
			rates := c.rates[len(c.rates)-1]
			fmt.Fprintf(b.progress, "%s, %s, %s: %s k/s (%s to %s)\n", g.title, l.name, c.name,
				thousands(median(rates)), thousands(slices.Min(rates)), thousands(slices.Max(rates)))
		}
	}
	return nil
}

// print writes a table that has the ratios of ours to each of the peers.
func (g *group) print(w io.Writer) {
	var loads, rule []string
	for _, l := range g.loads {
		loads = append(loads, l.name)
	}
	head := []string{fmt.Sprintf("%s: %s", g.title, strings.Join(loads, " / "))}
	for _, p := range g.peers {
		head = append(head, "ratio to "+p.name)
	}
	head = append(head, "k calls/s")
	for range head {
		rule = append(rule, "---")
	}
	fmt.Fprintf(w, "\n| %s |\n|%s|\n", strings.Join(head, " | "), strings.Join(rule, "|"))
	for _, o := range g.ours {
		row := []string{o.name}
		for _, p := range g.peers {
			if o.like != p.like {
				row = append(row, "–")
				continue
			}
			row = append(row, each(g.loads, func(l int) string { return ratio(o.rates[l], p.rates[l]) }))
		}
		row = append(row, each(g.loads, func(l int) string { return thousands(median(o.rates[l])) }))
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

func each(loads []load, text func(load int) string) string {
	var texts []string
	for i := range loads {
		texts = append(texts, text(i))
	}
	return strings.Join(texts, " / ")
}

// ratio returns the median of the ratios of the rounds.
func ratio(ours, peer []float64) string {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, ours[i]/peer[i])
	}
	if r := median(ratios); r < 0.995 {
		return fmt.Sprintf("%.2f", r)
	} else if r < 9.95 {
		return fmt.Sprintf("%.1f", r)
	} else {
		return fmt.Sprintf("%.0f", r)
	}
}

func thousands(rate float64) string {
	if rate < 99_500 {
		return fmt.Sprintf("%.1f", rate/1000)
	}
	return humanize.Comma(int64(rate/1000 + 0.5))
}

// median returns the median of an odd number of numbers.
func median(all []float64) float64 { return slices.Sorted(slices.Values(all))[len(all)/2] }
