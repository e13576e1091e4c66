//go:build unix

package faults

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Mutants are put into the product by what it says, not by where: a function of some
// name, anywhere in the module, and in it a condition or a statement that mentions some
// names. So they follow code that is moved, reformatted or commented on.

// A place is a condition or a statement of the product.
type place struct {
	function  string // Type.method, or function
	condition bool   // a condition of an if or of a case, or an operand of its && and ||; else a statement

	// mentions are the names, separated by spaces, that the place contains. The place is
	// the smallest one that has them all. If there are several, it is none.
	mentions string

	guards string // names that the code mentions that runs if a condition holds
}

func condition(function, mentions string) place {
	return place{function: function, condition: true, mentions: mentions}
}

func statement(function, mentions string) place { return place{function: function, mentions: mentions} }

// guarding is a condition for code that mentions names.
func (p place) guarding(names string) place {
	p.guards = names
	return p
}

func (p place) String() string {
	text := fmt.Sprintf("statement of %s that mentions %s", p.function, p.mentions)
	if p.condition {
		text = fmt.Sprintf("condition of %s that mentions %s, for code that mentions %s", p.function, p.mentions, cmp.Or(p.guards, "anything"))
	}
	return text
}

// A change is what becomes of a place in one mutant. The word BROKEN in its code is true
// for that mutant only. For all others the product is as before.
type change struct {
	place
	before, after string // around the place
	inside        string // at the beginning of what a condition guards
}

// always has a condition hold.
func (p place) always() change { return change{place: p, before: "((", after: ") || BROKEN)"} }

// never has a condition not hold.
func (p place) never() change { return change{place: p, before: "((", after: ") && !BROKEN)"} }

// then has what a condition guards begin with other code.
func (p place) then(code string) change { return change{place: p, inside: gate(code)} }

// dropped leaves a statement out.
func (p place) dropped() change { return change{place: p, before: "if !BROKEN { ", after: " }"} }

// precededBy has other code run before a statement.
func (p place) precededBy(code string) change { return change{place: p, before: gate(code) + "; "} }

// followedBy has other code run after a statement.
func (p place) followedBy(code string) change { return change{place: p, after: "; " + gate(code)} }

func gate(code string) string { return "if BROKEN { " + code + " }" }

// A product is the sources of the module, without tests.
type product struct {
	files     *token.FileSet
	sources   map[string]string // by path
	functions map[string][]*ast.FuncDecl
	edits     map[string][]edit // by path
}

// An edit puts text into a source.
type edit struct {
	offset int
	text   string
}

const moduleRoot = "../../.."

func readProduct(t *testing.T) *product {
	t.Helper()
	root, err := filepath.Abs(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	p := &product{token.NewFileSet(), map[string]string{}, map[string][]*ast.FuncDecl{}, map[string][]edit{}}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err == nil {
			err = p.add(path, string(source))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *product) add(path, source string) error {
	file, err := parser.ParseFile(p.files, path, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p.sources[path] = source
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			p.functions[nameOf(f)] = append(p.functions[nameOf(f)], f)
		}
	}
	return nil
}

// nameOf returns the name of a function as a place has it.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	for {
		switch t := receiver.(type) {
		case *ast.StarExpr:
			receiver = t.X
		case *ast.IndexExpr:
			receiver = t.X
		case *ast.Ident:
			return t.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

// A found place. For a condition, body is the beginning of what it guards.
type found struct{ begin, end, body token.Pos }

// find returns the places in a function.
func (p place) find(f *ast.FuncDecl) (list []found) {
	names := strings.Fields(p.mentions)
	add := func(n ast.Node, body token.Pos) {
		if mentions(n, names) {
			list = append(list, found{n.Pos(), n.End(), body})
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			if p.condition && mentions(n.Body, strings.Fields(p.guards)) {
				operands(n.Cond, func(e ast.Expr) { add(e, n.Body.Lbrace+1) })
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				if p.condition && mentions(&ast.BlockStmt{List: n.Body}, strings.Fields(p.guards)) {
					operands(e, func(e ast.Expr) { add(e, n.Colon+1) })
				}
			}
		}
		if s, ok := n.(ast.Stmt); ok && !p.condition {
			add(s, token.NoPos)
		}
		return true
	})
	return slices.DeleteFunc(slices.Clone(list), func(a found) bool {
		return slices.ContainsFunc(list, func(b found) bool { return a != b && a.begin <= b.begin && b.end <= a.end })
	})
}

// operands calls f for a condition and the operands of its && and ||.
func operands(e ast.Expr, f func(ast.Expr)) {
	f(e)
	switch x := e.(type) {
	case *ast.ParenExpr:
		operands(x.X, f)
	case *ast.BinaryExpr:
		if x.Op == token.LAND || x.Op == token.LOR {
			operands(x.X, f)
			operands(x.Y, f)
		}
	}
}

// mentions reports whether a node contains all names.
func mentions(n ast.Node, names []string) bool {
	has := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			has[id.Name] = true
		}
		return true
	})
	return !slices.ContainsFunc(names, func(name string) bool { return !has[name] })
}

// apply notes the edits of a mutant.
func (p *product) apply(m mutant) error {
	var list []found
	for _, f := range p.functions[m.change.function] {
		list = append(list, m.change.find(f)...)
	}
	if len(list) != 1 {
		return fmt.Errorf("mutant %q: the product has %d of what it changes, want 1: the %s; mend its place in mutants_list_test.go%s",
			m.name, len(list), m.change, p.hint(m.change.place))
	}
	at := list[0]
	put := func(pos token.Pos, text string) {
		if where := p.files.Position(pos); text != "" {
			text = strings.ReplaceAll(text, "BROKEN", fmt.Sprintf("broken(%q)", m.name))
			p.edits[where.Filename] = append(p.edits[where.Filename], edit{where.Offset, text})
		}
	}
	put(at.begin, m.change.before)
	put(at.end, m.change.after)
	put(at.body, m.change.inside)
	return nil
}

// hint tells in which other functions there is such a place.
func (p *product) hint(what place) string {
	var other []string
	for _, name := range slices.Sorted(maps.Keys(p.functions)) {
		for _, f := range p.functions[name] {
			if len(what.find(f)) == 1 {
				other = append(other, name)
			}
		}
	}
	const few = 5
	switch {
	case len(p.functions[what.function]) == 0 && len(other) == 0:
		return ": there is neither that function nor such a place in another one"
	case len(other) > 0 && len(other) <= few:
		return ": there is one in " + strings.Join(other, ", ")
	}
	return ""
}

// edited returns the sources that differ, with all mutants in them.
func (p *product) edited() map[string]string {
	sources := map[string]string{}
	for path, edits := range p.edits {
		slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.offset, b.offset) })
		var b strings.Builder
		from, source := 0, p.sources[path]
		for _, e := range edits {
			b.WriteString(source[from:e.offset] + e.text)
			from = e.offset
		}
		sources[path] = b.String() + source[from:]
	}
	return sources
}
