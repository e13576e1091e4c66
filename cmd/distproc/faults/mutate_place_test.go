//go:build unix

package faults

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

const placeSource = `package p

func (s *set[T]) put(v T) {
	if s.full() || // at most that many
		v == nil && s.strict { s.refuse(v); return }
	switch {
	case s.values == nil:
		s.grow()
	}
	s.values = append(s.values, v)
}
`

// TestPlaces puts changes into a source.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change change
		want   string // in the source, white space apart
		err    string
	}{
		{condition("set.put", "s full").always(), `if ((s.full()) || broken("m")) || // at`, ""},
		{condition("set.put", "v nil").never(), `((v == nil) && !broken("m")) && s.strict`, ""},
		{condition("set.put", "strict v").always(), `((v == nil && s.strict) || broken("m")) { s.refuse`, ""},
		{condition("set.put", "values nil").then("return"), `case s.values == nil:if broken("m") { return } s.grow()`, ""},
		{condition("set.put", "s").guarding("refuse").always(), "", "has 2 of"},
		{statement("set.put", "refuse").dropped(), `if !broken("m") { s.refuse(v) }; return`, ""},
		{statement("set.put", "append").precededBy("return"), `if broken("m") { return }; s.values = append`, ""},
		{statement("set.put", "append").followedBy("return"), `append(s.values, v); if broken("m") { return } }`, ""},
		{statement("set.put", "remove").dropped(), "", "has 0 of"},
		{statement("set.add", "append").dropped(), "", "there is one in set.put"},
	} {
		p := &product{token.NewFileSet(), map[string]string{}, map[string][]*ast.FuncDecl{}, map[string][]edit{}}
		if err := p.add("p.go", placeSource); err != nil {
			t.Fatal(err)
		}
		err := p.apply(mutant{name: "m", change: test.change})
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%v: error %v, want %q", test.change.place, err, test.err)
		}
		got := strings.Join(strings.Fields(p.edited()["p.go"]), " ")
		if !strings.Contains(got, test.want) {
			t.Errorf("%v: %s\nwant %s", test.change.place, got, test.want)
		}
	}
}
