package repl

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/wire/text"
)

// A drawing is a list of numbers that is shown as a picture.
type drawing struct {
	*starlark.List
	values []float64 // NaN: none
	units  units
}

// plotCols is how wide a picture is without a terminal.
const plotCols = 80

func (d *drawing) Type() string   { return "plot" }
func (d *drawing) String() string { return d.styled(style{}) }

// styled draws the picture as wide as the terminal, and below it what it is of.
func (d *drawing) styled(s style) string {
	low, high, n := math.Inf(1), math.Inf(-1), 0
	last := math.NaN()
	for _, v := range d.values {
		if !math.IsNaN(v) {
			low, high, last, n = min(low, v), max(high, v), v, n+1
		}
	}
	if n == 0 {
		return "no values"
	}
	cols := plotCols
	if s.cols > 0 {
		cols = max(s.cols-1, 1)
	}
	squeezed := text.Squeeze(d.values, cols)
	out := s.good(text.Spark(squeezed, min(low, 0), high, asciiOnly())) + "\n" // from 0, so that bars compare
	about := fmt.Sprintf("%s, min %s, max %s, last %s", counted(n, "value", "values"), d.units.label(low), d.units.label(high), d.units.label(last))
	if len(squeezed) < len(d.values) {
		about += fmt.Sprintf("; a column is the mean of %.3g", float64(len(d.values))/float64(len(squeezed)))
	}
	return out + folded(about, s.cols, 0, 0, plain)
}

// units say how numbers are written.
type units struct {
	durations bool   // numbers are nanoseconds
	name      string // after each number, or empty
}

func (u units) label(v float64) string {
	if u.durations {
		return duration(time.Duration(v)).String()
	}
	s := strconv.FormatFloat(v, 'g', 4, 64)
	if v == math.Trunc(v) && math.Abs(v) < 1e15 || math.Abs(v) >= 1000 && math.Abs(v) < 1e15 {
		s = strconv.FormatFloat(v, 'f', 0, 64)
	}
	if u.name != "" {
		s += " " + u.name
	}
	return s
}

func (sh *Shell) plot(r *request) (starlark.Value, error) {
	var many starlark.Iterable
	d := &drawing{}
	if err := r.unpack("values", &many, "unit?", &d.units.name); err != nil {
		return nil, err
	}
	d.units.name = text.Line(d.units.name, 32)
	iter := many.Iterate()
	defer iter.Done()
	var v starlark.Value
	var kept []starlark.Value
	numbers := false
	for iter.Next(&v) {
		if len(kept) == maxIDs {
			return nil, fmt.Errorf("plot: more than %d values", maxIDs)
		}
		f := math.NaN()
		switch v := v.(type) {
		case starlark.NoneType:
		case startime.Duration:
			f, d.units.durations = float64(v), true
		default:
			n, ok := starlark.AsFloat(v)
			if !ok {
				return nil, fmt.Errorf("plot: the value at index %d is %s; it draws numbers, durations and None", len(kept), article(v))
			}
			if !math.IsInf(n, 0) {
				f, numbers = n, true
			}
		}
		d.values, kept = append(d.values, f), append(kept, v)
	}
	if numbers && d.units.durations {
		return nil, errors.New("plot: some values are durations and others are numbers")
	}
	d.List = starlark.NewList(kept)
	return d, nil
}

// asciiOnly reports whether the terminal may know no characters beyond ASCII.
func asciiOnly() bool { return os.Getenv("TERM") == "dumb" }
