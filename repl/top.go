package repl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// A frame is one screen of top.
type frame struct {
	at      time.Time
	nodes   []node.NodeInfo
	loads   []observe.Load
	workers []worker.Info
	err     error
}

func (sh *Shell) top(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	term := sh.terminal()
	if sh.onScreen.Load() { // of watch, which shows it
		f := sh.look(r.ctx)
		if f.err != nil {
			return nil, &requestError{what: "top()", err: f.err}
		}
		sh.println(strings.Join(f.lines(80, 1<<10, sh.style), "\n"))
		return starlark.None, nil
	}
	if term == nil {
		return nil, errors.New("top: there is no terminal to watch at; nodes(detail=True) and workers() show the same once")
	}
	return starlark.None, sh.fullScreen(r.ctx, term, sh.topInterval, func(ctx context.Context) view { return sh.look(ctx) })
}

func (sh *Shell) look(ctx context.Context) frame {
	ctx, cancel := context.WithTimeout(ctx, 5*sh.topInterval)
	defer cancel()
	f := frame{at: time.Now()}
	if f.nodes, f.err = sh.cluster.Nodes(ctx); f.err != nil {
		return f
	}
	f.loads, _ = sh.cluster.Loads(ctx, "") // a node of an older version has none
	f.workers, f.err = sh.cluster.Workers(ctx)
	for i := range f.nodes { // names of nodes come from the nodes
		f.nodes[i].Name = printable(f.nodes[i].Name)
	}
	for i := range f.workers {
		f.workers[i].Node = printable(f.workers[i].Node)
	}
	slices.SortStableFunc(f.workers, func(a, b worker.Info) int { return cmp.Compare(b.Hits, a.Hits) })
	return f
}

// lines returns the frame as at most so many lines, each of at most so many columns.
func (f frame) lines(cols, rows int, s style) []string {
	total := 0.0
	for _, n := range f.nodes {
		total += n.Rate
	}
	ids := counted(len(f.workers), "live id", "live ids")
	if n := f.unlisted(); n > 0 { // the ids with the most hits may be among them
		ids = fmt.Sprintf("%d of %d live ids", len(f.workers), len(f.workers)+n)
	}
	lines := []string{text.Fit(fmt.Sprintf("distproc top  %s  %s  %.1f requests/s  %s; any key leaves",
		counted(len(f.nodes), "node", "nodes"), ids, total, f.at.Format(time.TimeOnly)), cols)}
	if f.err != nil {
		lines = append(lines, s.bad(text.Fit("** "+printable(f.err.Error()), cols)))
	}
	lines = append(lines, "")
	lines = append(lines, f.nodeLines(cols, s)...)
	lines = append(lines, "")
	if kinds := f.kindLines(cols, s); kinds != nil {
		lines = append(append(lines, kinds...), "")
	}
	lines = append(lines, f.workerLines(cols, max(rows-len(lines)-1, 0), s)...)
	return lines[:min(len(lines), max(rows, 1))]
}

// unlisted returns the number of live workers that the frame does not list.
func (f frame) unlisted() (n int) {
	for _, w := range f.workers {
		n += w.LeftOut
	}
	return n
}

// mebibytes writes a number of bytes.
func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// nodeLines returns a line for each node. Its bar compares the node's request rate with
// that of the busiest node. The column of evictions appears after the first one. Columns for
// which there is no room are left out.
func (f frame) nodeLines(cols int, s style) []string {
	name, most := 4, 0.0
	for _, n := range f.nodes {
		name, most = max(name, text.Width(n.Name)), max(most, n.Rate)
	}
	columns := []gauge{
		{"rtt", 9, 2, func(i int) string { return duration(f.nodes[i].RTT).String() }},
		{"ids", 7, 1, func(i int) string { return strconv.Itoa(f.nodes[i].Workers) }},
		{"values", 9, 4, func(i int) string { return mebibytes(f.nodes[i].Values) }},
		{"evicted", 7, 3, func(i int) string { return strconv.FormatUint(f.nodes[i].Evicted, 10) }},
		{"requests/s", 10, 0, func(i int) string { return fmt.Sprintf("%.1f", f.nodes[i].Rate) }},
	}
	if !slices.ContainsFunc(f.nodes, func(n node.NodeInfo) bool { return n.Evicted > 0 }) {
		columns = slices.Delete(columns, 3, 4)
	}
	columns = fitting(columns, cols-name-len("  failed"))
	lines := []string{headed(fmt.Sprintf("%s  %-6s", text.Pad("node", name), "state"), columns, "load", cols)}
	for i, n := range f.nodes {
		line := fmt.Sprintf("%s  %-6s", text.Pad(n.Name, name), n.State)
		if n.Problem != "" {
			lines = append(lines, s.bad(text.Fit(line+"  "+printable(n.Problem), cols)))
			continue
		}
		lines = append(lines, withBar(line+cellsOf(columns, i)+"  ", n.Rate, most, cols, s))
	}
	return lines
}

// maxKinds is how many kinds a frame lists, those with the most requests.
const maxKinds = 5

// kindLines returns a line for each kind with requests in the last minute.
func (f frame) kindLines(cols int, s style) []string {
	count := func(l observe.Load) (n uint64) {
		for _, per := range l.PerSecond {
			n += uint64(per)
		}
		return n
	}
	loads := slices.DeleteFunc(slices.Clone(f.loads), func(l observe.Load) bool { return count(l) == 0 })
	if len(loads) == 0 {
		return nil
	}
	slices.SortStableFunc(loads, func(a, b observe.Load) int { return cmp.Compare(count(b), count(a)) })
	shown := loads[:min(len(loads), maxKinds)]
	name := len("kind")
	for _, l := range shown {
		name = max(name, min(text.Width(l.Kind), 24))
	}
	columns := fitting([]gauge{
		{"p99", 9, 2, func(i int) string { return "≤" + shown[i].Quantile(0.99).String() }},
		{"errors", 7, 1, func(i int) string { return strconv.FormatUint(shown[i].Failed, 10) }},
		{"requests/s", 10, 0, func(i int) string { return fmt.Sprintf("%.1f", shown[i].Rate()) }},
	}, cols-name)
	head := text.Pad("kind", name)
	if len(loads) > maxKinds {
		head = text.Pad(fmt.Sprintf("%d of %d", maxKinds, len(loads)), name)
	}
	lines := []string{headed(head, columns, "last minute", cols)}
	for i, l := range shown {
		line := text.Pad(text.Fit(l.Kind, name), name) + cellsOf(columns, i)
		if room := min(cols-text.Width(line)-2, maxBar); room > 0 {
			line += "  " + s.good(sparkOf(l.PerSecond, room))
		} else {
			line = text.Fit(line, cols)
		}
		lines = append(lines, line)
	}
	return lines
}

// sparkOf draws the requests of each second of the last minute.
func sparkOf(perSecond []uint32, cols int) string {
	values := make([]float64, observe.Seconds)
	for i := range values {
		values[i] = math.NaN()
	}
	most := 0.0
	for i, n := range perSecond {
		values[len(values)-len(perSecond)+i] = float64(n)
		most = max(most, float64(n))
	}
	return text.Spark(text.Squeeze(values, cols), 0, most, asciiOnly())
}

// A gauge is a column of numbers.
type gauge struct {
	head  string
	width int // columns of the terminal
	spare int // gauges with more are left out earlier; 0: never
	cell  func(i int) string
}

// fitting returns the gauges for which there are so many columns of the terminal.
func fitting(all []gauge, room int) []gauge {
	for {
		need, spare := 0, 0
		for i, g := range all {
			need += 2 + g.width
			if g.spare > all[spare].spare {
				spare = i
			}
		}
		if need <= room || all[spare].spare == 0 {
			return all
		}
		all = slices.Delete(all, spare, spare+1)
	}
}

// headed adds the heads of gauges to a line, and that of the bars if it fits.
func headed(line string, gauges []gauge, bars string, cols int) string {
	for _, g := range gauges {
		line += fmt.Sprintf("  %*s", g.width, g.head)
	}
	if text.Width(line)+2+len(bars) <= cols {
		line += "  " + bars
	}
	return text.Fit(line, cols)
}

// cellsOf returns what the gauges show in row i.
func cellsOf(gauges []gauge, i int) (line string) {
	for _, g := range gauges {
		line += fmt.Sprintf("  %*s", g.width, g.cell(i))
	}
	return line
}

// workerLines returns lines for the ids with the most hits.
func (f frame) workerLines(cols, rows int, s style) []string {
	if len(f.workers) == 0 {
		return []string{text.Fit("no live workers", cols)}
	}
	shown := f.workers[:min(len(f.workers), rows)]
	id, name, most := 2, 4, f.workers[0].Hits
	for _, w := range shown {
		id, name = max(id, min(text.Width(w.ID.String()), 24)), max(name, text.Width(w.Node))
	}
	columns := fitting([]gauge{
		{"age", 7, 3, func(i int) string { return shortly(shown[i].Age) }},
		{"ttl", 7, 1, func(i int) string { return shortly(shown[i].TTL) }},
		{"queue", 6, 2, func(i int) string { return strconv.Itoa(shown[i].Queue) }},
		{"hits", 9, 0, func(i int) string { return strconv.FormatUint(shown[i].Hits, 10) }},
	}, cols-id-2-name)
	lines := []string{headed(text.Pad("id", id)+"  "+text.Pad("node", name), columns, "hottest", cols)}
	for i, w := range shown {
		line := fmt.Sprintf("%s  %s%s  ", text.Pad(text.Fit(printable(w.ID.String()), id), id), text.Pad(w.Node, name), cellsOf(columns, i))
		lines = append(lines, withBar(line, float64(w.Hits), float64(most), cols, s))
	}
	return lines
}

// maxBar is the length of a full bar.
const maxBar = 30

func withBar(line string, value, most float64, cols int, s style) string {
	room := min(cols-text.Width(line), maxBar)
	if room < 1 {
		return text.Fit(line, cols)
	}
	return line + s.good(text.Bar(value, most, room))
}
