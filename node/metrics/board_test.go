package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v4"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A series is what is known of a metric: its labels, and their values.
type series map[string]map[string]bool

// A scraped has all that Prometheus knows of a cluster, by the names of metrics.
type scraped map[string]series

func (s scraped) add(metric string, labels map[string]string) {
	if s[metric] == nil {
		s[metric] = series{}
	}
	for name, value := range labels {
		if s[metric][name] == nil {
			s[metric][name] = map[string]bool{}
		}
		s[metric][name][value] = true
	}
}

// scrapeCluster returns what two nodes tell that have kinds of all sorts.
func scrapeCluster(t *testing.T, host string) scraped {
	t.Helper()
	all := scraped{}
	all.add("up", map[string]string{"job": "distproc", "instance": "1@" + host}) // Prometheus's own
	server := func(context.Context, worker.ID) (worker.Server, error) { return nil, nil }
	for _, name := range []string{"1@" + host, "2@" + host} {
		n, err := node.Start(node.Config{
			Name: name, Cookie: []byte("a long secret that all nodes share"), Timing: node.Local,
			Voters: []string{"1@" + host}, DataDir: t.TempDir(),
			Default: worker.Cache{Load: worker.RandomSource},
			Kinds:   map[string]worker.Kind{"sum": worker.Serial{Open: server}, "account": worker.Serial{Open: server, Strict: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		if name[0] != '1' {
			if err := n.Join(t.Context(), "1@"+host); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := n.Request(t.Context(), worker.IntID(7)); err != nil {
			t.Fatal(err)
		}
		families, err := newRegistry(n, "v1.2.3").Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				labels := map[string]string{"job": "distproc", "instance": name}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				all.add(f.GetName(), labels)
				if m.GetHistogram() != nil {
					all.add(f.GetName()+"_count", labels)
					all.add(f.GetName()+"_sum", labels)
					labels["le"] = "+Inf"
					all.add(f.GetName()+"_bucket", labels)
				}
			}
		}
	}
	return all
}

// check returns what is wrong with a query, and the labels of its result. A label that a
// binary operation or a function drops may be among them.
func (s scraped) check(query string) (result map[string]bool, err error) {
	e, err := metricsql.Parse(query)
	if err != nil {
		return nil, err
	}
	return s.labels(e)
}

func (s scraped) labels(e metricsql.Expr) (result map[string]bool, err error) {
	result = map[string]bool{}
	of := func(list ...metricsql.Expr) error {
		for _, e := range list {
			labels, err := s.labels(e)
			if err != nil {
				return err
			}
			maps.Copy(result, labels)
		}
		return nil
	}
	known := func(names []string) error {
		for _, name := range names {
			if !result[name] {
				return fmt.Errorf("%s: there is no label %s", e.AppendString(nil), name)
			}
		}
		return nil
	}
	switch e := e.(type) {
	case *metricsql.MetricExpr:
		return s.selected(e)
	case *metricsql.RollupExpr:
		return s.labels(e.Expr)
	case *metricsql.FuncExpr:
		err = of(e.Args...)
	case *metricsql.BinaryOpExpr:
		if err = of(e.Left, e.Right); err == nil {
			err = known(e.GroupModifier.Args)
		}
	case *metricsql.AggrFuncExpr:
		if err = of(e.Args...); err == nil {
			err = known(e.Modifier.Args)
		}
		if e.Modifier.Op != "without" {
			maps.DeleteFunc(result, func(name string, _ bool) bool { return !slices.Contains(e.Modifier.Args, name) })
		}
	}
	return result, err
}

// selected returns the labels of what a selector selects.
func (s scraped) selected(e *metricsql.MetricExpr) (map[string]bool, error) {
	result := map[string]bool{}
	for _, filters := range e.LabelFilterss {
		metric := s[filters[0].Value]
		if metric == nil || filters[0].Label != "__name__" {
			return nil, fmt.Errorf("no node tells %s", e.AppendString(nil))
		}
		for _, f := range filters[1:] {
			if metric[f.Label] == nil {
				return nil, fmt.Errorf("%s has no label %s", filters[0].Value, f.Label)
			}
			if !strings.HasPrefix(f.Value, "$") && !metric[f.Label][f.Value] {
				return nil, fmt.Errorf("%s has no %s %q", filters[0].Value, f.Label, f.Value)
			}
		}
		for name := range metric {
			result[name] = true
		}
	}
	return result, nil
}

// The parts of a board of Grafana that matter here.
type board struct {
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		Targets []struct{ Expr, LegendFormat string }
		GridPos struct{ H, W, X, Y int }
	}
}

var (
	legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)
	labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
)

// TestBoard has each query of the board find its metrics and labels at real nodes.
func TestBoard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	all := scrapeCluster(t, "127.0.78.3")
	told := map[string]bool{}
	check := func(where, query string) map[string]bool {
		query = strings.ReplaceAll(query, "$__rate_interval", "5m")
		labels, err := all.check(query)
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
		for name := range all {
			if regexp.MustCompile(`\b` + name + `\b`).MatchString(query) {
				told[name] = true
			}
		}
		return labels
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has the id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[at]; other != "" || at[0] >= 24 {
					t.Errorf("%s lies on %q, at %v", p.Title, other, at)
				}
				cells[at] = p.Title
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s has %d queries", p.Title, len(p.Targets))
		}
		for _, target := range p.Targets {
			labels := check(p.Title, target.Expr)
			for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !labels[label[1]] {
					t.Errorf("%s: the legend has %s, which the result has not", p.Title, label[1])
				}
			}
		}
	}
	for _, v := range b.Templating.List {
		if v.Name == "datasource" {
			continue
		}
		if m := labelValues.FindStringSubmatch(v.Definition); m == nil || !check(v.Name, m[1])[m[2]] {
			t.Errorf("%s: %s", v.Name, v.Definition)
		}
	}
	for name := range all {
		if !strings.HasPrefix(name, "distproc_") || strings.HasSuffix(name, "_sum") || all[name+"_bucket"] != nil || told[name] {
			continue
		}
		if !told[strings.TrimSuffix(name, "_count")+"_bucket"] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestAlerts has each expression of the alerts find its metrics and labels at real nodes.
// Promtool, of Debian's prometheus, has them fire and be quiet.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Load(text, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	all := scrapeCluster(t, "127.0.78.4")
	alertLabel := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, r := range file.Groups[0].Rules {
		labels, err := all.check(r.Expr)
		if err != nil {
			t.Errorf("%s: %v", r.Alert, err)
		}
		for _, m := range alertLabel.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
			if !labels[m[1]] {
				t.Errorf("%s tells the label %s, which it has not", r.Alert, m[1])
			}
		}
		if !labels["job"] || r.Labels["severity"] != "page" && r.Labels["severity"] != "ticket" || r.Annotations["description"] == "" {
			t.Errorf("%s: labels %v of %v, %v", r.Alert, r.Labels, labels, r.Annotations)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not there: the alerts are parsed, but not fired")
		return
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "testdata/alerts_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestQueries gives the check queries that are wrong.
func TestQueries(t *testing.T) {
	t.Parallel()
	all := scraped{}
	all.add("a_total", map[string]string{"job": "j", "code": "x"})
	for query, want := range map[string]string{
		`sum by (code) (rate(a_total{job="$job"}[5m]))`:  "",
		`rate(a_total{code="x"}[5m]) / a_total`:          "",
		`sum(a_total) by (kind)`:                         "there is no label kind",
		`b_total`:                                        "no node tells b_total",
		`a_total{kind="$kind"}`:                          "has no label kind",
		`a_total{code="y"}`:                              `has no code "y"`,
		`sum by (job) (sum by (code) (a_total))`:         "there is no label job",
		`a_total and on (kind) a_total`:                  "there is no label kind",
		`histogram_quantile(0.5, sum by (le) (a_total))`: "there is no label le",
		`sum(`: "",
	} {
		_, err := all.check(query)
		if query == `sum(` && err != nil {
			continue
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}
