//go:build unix

package repl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
)

// TestCalls shows the calls that led to an error at a terminal: innermost last, each with
// its input or file, its line and a mark.
func TestCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"half.star": "x = 1\ny = (\n", "fails.star": "def k():\n  # why\n  return 1 // 0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startSession(t, &pty.Winsize{Rows: 24, Cols: 150})
	s.prompt("1", "")
	s.send("def g():\r  # here\r  return 1 / 0\r\r")
	s.prompt("2", "")
	s.send("def f(): return [g() for _ in [1]]\r\r")
	s.prompt("3", "")
	s.send("f()\r")
	s.wait(`\n\*\* \(Error\) floating-point division by zero\n` +
		`   \[3\]:1\n     f\(\)\n      \^\n` +
		`   \[2\]:1 in f\n     def f\(\): return \[g\(\) for _ in \[1\]\]\n {23}\^\n` +
		`   \[1\]:3 in g\n     +return 1 / 0\n +\^\ndistproc`)
	s.send("f(\r1 / 0)\r")
	s.wait(`\n   \[3\]:2\n +1 / 0\)\n +\^\ndistproc\S+3>$`)
	s.send("load('" + dir + "/half.star')\r")
	s.wait(`\n\*\* \(SyntaxError\) got end of file.*\n   \[3\]:1\n     load\(.*\n         \^\n   \S+/half.star:\d\n`)
	s.send("\x0cload('" + dir + "/fails.star')\r")
	s.prompt("4", "")
	s.send("k()\r")
	s.wait(`\n   \[4\]:1\n     k\(\)\n      \^\n   \S+/fails.star:3 in k\n       return 1 // 0\n +\^\ndistproc`)
	s.send("y = ('日本語', 'e\u0301', 1 // 0)\r")
	s.wait(`\n   y = \('日本語', 'e\x{301}', 1 // 0\)\n {25}\^\ndistproc`)
	s.send("def r(n): return r(n - 1) if n else 1 // 0\r\r")
	s.prompt("5", "")
	s.send("\x0cr(40)\r")
	s.wait(`\n   … 31 more calls\n   \[4\]:1 in r\n`)
}
