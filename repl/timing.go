package repl

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/worker"
)

var timingFields = []string{"took", "value"}

func (sh *Shell) time(r *request) (starlark.Value, error) {
	if len(r.args) == 0 {
		return nil, errors.New("time: missing argument for f, such as in time(request, 1)")
	}
	start := time.Now()
	v, err := starlark.Call(r.thread, r.args[0], r.args[1:], r.kw)
	if err != nil {
		return nil, err
	}
	return &record{kind: "timing", fields: timingFields, values: starlark.Tuple{duration(time.Since(start)), v}}, nil
}

func (sh *Shell) every(r *request) (starlark.Value, error) {
	var interval, count starlark.Value
	var f starlark.Callable
	if err := r.unpack("seconds", &interval, "f", &f, "n?", &count); err != nil {
		return nil, err
	}
	d, err := toDuration(interval)
	if err == nil && d == 0 {
		err = errors.New("0; seconds are a number above 0, such as 0.5")
	}
	n := -1
	if err == nil && count != nil && count != starlark.None {
		if e := starlark.AsInt(count, &n); e != nil || n < 0 {
			err = fmt.Errorf("n is %s; it is a number of calls", count)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("every: %w", err)
	}
	tick := time.NewTicker(max(d, 1))
	defer tick.Stop()
	var values []starlark.Value
	for i := 0; i != n; i++ {
		if i > 0 {
			select {
			case <-tick.C:
			case <-r.ctx.Done():
				return nil, r.ctx.Err()
			}
		}
		v, err := starlark.Call(r.thread, f, nil, nil)
		if err != nil {
			return nil, err
		}
		if v != starlark.None {
			sh.println(sh.display(v))
		}
		if values = append(values, v); len(values) > 2*maxKept {
			values = slices.Clone(values[maxKept:])
		}
	}
	sh.shown = starlark.NewList(values[max(0, len(values)-maxKept):])
	return sh.shown, nil
}

// maxKept is how many values every returns at most, the last ones.
const maxKept = 10_000

func (sh *Shell) sleep(r *request) (starlark.Value, error) {
	var v starlark.Value
	if err := r.unpack("seconds", &v); err != nil {
		return nil, err
	}
	d, err := toDuration(v)
	if err != nil {
		return nil, fmt.Errorf("sleep: %w", err)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return starlark.None, nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

func toDuration(v starlark.Value) (time.Duration, error) {
	s, ok := starlark.AsFloat(v)
	// Above about 292 years a Duration overflows.
	if !ok || math.IsNaN(s) || s < 0 || s > math.MaxInt64/float64(time.Second)/2 {
		return 0, fmt.Errorf("%s; seconds are a number from 0 up, such as 0.5", v)
	}
	return time.Duration(s * float64(time.Second)), nil
}

// duration returns a value that reads 1.23ms.
func duration(d time.Duration) starlark.Value { return startime.Duration(rounded(d)) }

// rounded rounds a time to three significant digits, or from a minute up to whole seconds,
// minutes or hours.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= 100*time.Hour:
		return d.Round(time.Hour)
	case d >= time.Hour:
		return d.Round(time.Minute)
	case d >= time.Minute:
		return d.Round(time.Second)
	}
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// shortly writes a time for people: 302µs, 1.23ms, 12.3s, 1m41s, forever.
func shortly(d time.Duration) string {
	if d > worker.Forever/2 { // what is left of it, too
		return "forever"
	}
	return rounded(d).String()
}
