package gateway

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReadmeRoutes compares the README's table of requests with the stable routes, and its
// query parameters with theirs.
func TestReadmeRoutes(t *testing.T) {
	t.Parallel()
	var got, want []string
	for _, r := range stable {
		path := strings.NewReplacer("{id}", "ID", "{kind}", "KIND").Replace(r.pattern)
		want = append(want, r.methods()[0]+" "+path)
	}
	rows := regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`?]*)(\\?[^`]*)?`")
	for _, row := range rows.FindAllStringSubmatch(readme(t), -1) {
		got = append(got, row[1])
		i := slices.Index(want, row[1])
		for _, parameter := range regexp.MustCompile(`[?&](\w+)=`).FindAllStringSubmatch(row[2], -1) {
			if i >= 0 && !slices.Contains(stable[i].query, parameter[1]) {
				t.Errorf("%s has no parameter %s", row[1], parameter[1])
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("README.md has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReadmeMetrics compares the README's table of metrics with an exposition of all of
// them.
func TestReadmeMetrics(t *testing.T) {
	t.Parallel()
	exposition, err := os.ReadFile("../metrics/testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"distproc_build_info": "version"}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+)`).FindAllStringSubmatch(string(exposition), -1) {
		labels := regexp.MustCompile(`(?m)^` + m[1] + `(?:_count)?\{(.*)\}`).FindStringSubmatch(string(exposition))
		want[m[1]] = ""
		if labels != nil {
			want[m[1]] = regexp.MustCompile(`="[^"]*"`).ReplaceAllString(labels[1], "")
		}
	}
	got := map[string]string{}
	rows := regexp.MustCompile("(?m)^\\| (`distproc_.*`) \\| (.*?) ?\\| .* \\|$")
	for _, row := range rows.FindAllStringSubmatch(readme(t), -1) {
		labels := strings.Split(strings.ReplaceAll(row[2], "`", ""), ", ")
		slices.Sort(labels)
		for name := range strings.SplitSeq(row[1], ", ") {
			got[strings.Trim(name, "`")] = strings.Join(labels, ",")
		}
	}
	for name, labels := range want {
		if l, ok := got[name]; !ok || l != labels {
			t.Errorf("README.md: labels of %s: %q (%t), want %q", name, l, ok, labels)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("README.md: there is no metric %s", name)
	}
}
