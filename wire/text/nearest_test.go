package text

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"connect", "request", "nodes", "node", "h"}
	for in, want := range map[string]string{
		"reqest": "request", "reuqest": "request", "Request": "request", "conect": "connect", "nods": "nodes",
		"x": "", "zzzz": "", strings.Repeat("x", 1<<20): "",
	} {
		if got := Nearest(in, names); got != want {
			t.Errorf("%.20q: %q, want %q", in, got, want)
		}
	}
}
