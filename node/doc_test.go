package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestInvariantsAreTested looks for the tests that package comments name.
func TestInvariantsAreTested(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tests, named := map[string]bool{}, map[string]string{} // the latter by name, where it is named
		fset := token.NewFileSet()
		err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, d := range f.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && strings.HasSuffix(path, "_test.go") {
					tests[d.Name.Name] = true
				}
			}
			for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(f.Doc.Text(), -1) {
				named[name] = path
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(named) < 10 {
			t.Errorf("package comments name %d tests", len(named))
		}
		for name, path := range named {
			if !tests[name] {
				t.Errorf("%s: there is no test %s", path, name)
			}
		}
	})
}
