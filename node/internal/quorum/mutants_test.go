package quorum

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	mutantsTry = flag.String("mutants", "", "a regular expression: which mutants to try; each takes some 10 s")
	mutantsSim = flag.String("mutants.sim", "-sim.seeds=6 -sim.for=10m -sim.drills=6", "how long the simulation and the drills look for each")
)

// A mutant is the package with one rule broken. The tests have to find it.
type mutant struct {
	rule  string
	name  string
	edits []change
	lives string // why the tests need not find it
}

// A change replaces an expression in a function, wherever that is.
type change struct{ function, old, by string }

func in(function, old, by string) []change { return []change{{function, old, by}} }

// TestMutants finds the place of each mutant in the package as it is now. With -mutants it
// builds them, and reports which tests find each.
func TestMutants(t *testing.T) {
	t.Parallel()
	p := parsePackage(t)
	wanted, err := regexp.Compile(*mutantsTry)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		files, err := p.broken(m)
		if err != nil {
			t.Errorf("%s, %s: %v", m.rule, m.name, err)
			continue
		}
		if *mutantsTry == "" || !wanted.MatchString(m.rule+" "+m.name) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			program := buildMutant(t, files)
			var found []string
			for _, tests := range [][]string{
				{"unit", "-test.skip=TestSimulation|TestDrills|TestMutants"}, {"drills", "-test.run=TestDrills"}, {"simulation", "-test.run=TestSimulation"},
			} {
				start := time.Now()
				args := append(strings.Fields(*mutantsSim), tests[1], "-test.timeout=30s")
				out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
				if err == nil {
					continue
				}
				first := regexp.MustCompile(`(?m)^ *--- FAIL: (\S+/\S+|\S+)`).FindAllStringSubmatch(string(out), -1)
				by := "a panic or a hang"
				if len(first) > 0 {
					by = fmt.Sprintf("%s, %d in all", first[len(first)-1][1], strings.Count(string(out), "--- FAIL"))
				}
				found = append(found, fmt.Sprintf("%s (%s, within %v)", tests[0], by, time.Since(start).Round(time.Second/10)))
			}
			switch {
			case len(found) > 0:
				t.Logf("MUTANT %s | %s | %s", m.rule, m.name, strings.Join(found, "; "))
			case m.lives != "":
				t.Logf("MUTANT %s | %s | nothing: %s", m.rule, m.name, m.lives)
			default:
				t.Errorf("MUTANT %s | %s | NOTHING", m.rule, m.name)
			}
		})
	}
}

func buildMutant(t *testing.T, files map[string]string) (program string) {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for path, source := range files {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "test")
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-c", "-o", program, "-overlay", list, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// A sourcePackage is the sources of the package, without tests.
type sourcePackage struct {
	sources   map[string]string // by path
	functions map[string]sourceRange
}

type sourceRange struct {
	path       string
	begin, end int
}

func parsePackage(t *testing.T) *sourcePackage {
	t.Helper()
	p := &sourcePackage{map[string]string{}, map[string]sourceRange{}}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range paths {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p.sources[path] = string(source)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				p.functions[functionName(f)] = sourceRange{path, files.Position(f.Pos()).Offset, files.Position(f.End()).Offset}
			}
		}
	}
	return p
}

// functionName returns Type.method, or function.
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if id, ok := receiver.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

// broken returns the files of the package that a mutant changes, as they are then.
func (p *sourcePackage) broken(m mutant) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		at, ok := p.functions[e.function]
		if !ok {
			return nil, fmt.Errorf("there is no function %s", e.function)
		}
		was := p.sources[at.path][at.begin:at.end]
		if n := strings.Count(was, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times what it changes, want 1: %s", e.function, n, e.old)
		}
		source, ok := files[at.path]
		if !ok {
			source = p.sources[at.path]
		}
		begin := strings.Index(source, strings.SplitN(was, "\n", 2)[0]) // what is before may have changed
		files[at.path] = source[:begin] + strings.Replace(source[begin:], e.old, e.by, 1)
	}
	return files, nil
}
