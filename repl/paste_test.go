//go:build unix

package repl

import "testing"

// TestPastedBlocks pastes blocks with empty lines, which are parts of them.
func TestPastedBlocks(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send(pasteBegin + "def f():\r  x = 1\r\r  return x + 41\rf()\r" + pasteEnd)
	s.wait(`\n42\ndistproc\S+3>$`)
	// The history has the block as it is, and it runs again.
	s.send("\x1b[A\x1b[A\r")
	s.wait(`3> def f\(\):⏎  x = 1⏎⏎  return x \+ 41\ndistproc\S+4>$`)
	s.send("\x0cf()\r")
	s.wait(`\n42\ndistproc\S+5>$`)
	// The shell drops the lines of a paste after one that fails.
	s.send(pasteBegin + "def g():\r    x = 1\r\r  return x\rprint('went on')\r\r" + pasteEnd)
	s.wait(`\n\*\* \(SyntaxError\) .*\n(.*\n)*   \(what follows it is dropped\)\ndistproc\S+5>$`)
	s.send("\x0c'went ' + 'by'\r")
	s.wait(`5> 'went ' \+ 'by'\n"went by"\ndistproc\S+6>$`)
}

// TestPastedTabs pastes tabs, which stay tabs within strings and indent elsewhere.
func TestPastedTabs(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send(pasteBegin + "x = 'a\tb'\rdef f():\r\tif x:\r\t\treturn \"\"\"c\r\td\"\"\"\r\rx, f()\r" + pasteEnd)
	s.wait(`> x = 'a    b'\n(.*\n)*\S+     if x:\n\S+         return """c\n(.*\n)*\("a\\tb", "c\\n\\td"\)\ndistproc\S+4>$`)
	s.send(pasteBegin + "len('\t" + pasteEnd + "x')\r") // a line that is pasted and then typed
	s.wait(`4> len\('    x'\)\n2\ndistproc\S+5>$`)
	s.send("\x1b[A\r")
	s.wait(`5> len\('    x'\)\n2\ndistproc\S+6>$`)
	s.send(pasteBegin + "  x = 1\r" + pasteEnd)
	s.wait(`unexpected indentation \((an empty line ends a block|a block ends at a line that is not indented)\)`)
}

// TestTypedBlocks types blocks: an empty line ends one only where it can end, and a wrong
// line is typed again.
func TestTypedBlocks(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("def f():\r\r")
	s.wait(`\n\.+\S+1>\n\.+\S+1>$`)
	s.send("\x15return 1\r")
	s.wait(`\n\*\* \(SyntaxError\) got return, want indent\n   \[1\]:3\n     return 1\n.*\^\n   \(type that line again; Ctrl-C drops the block\)\n\.+\S+1>$`)
	s.send("\x15  if True:\r")
	s.wait(`again; Ctrl-C drops the block\)\n\.+\S+1>   if True:\n\.+\S+1>$`)
	s.send("\x15  return 42\r")
	s.wait(`again; Ctrl-C drops the block\)\n\.+\S+1>   if True:\n(.*\n)*.*again; Ctrl-C drops the block\)\n\.+\S+1>$`)
	s.send("return 42\r")
	s.wait(`\n\.+\S+1>     return 42\n\.+\S+1>$`)
	s.send("\r")
	s.prompt("2", "")
	s.send("\x0cf()\r")
	s.wait(`\n42\ndistproc\S+3>$`)
	s.send("if True:\r\x03")
	s.prompt("3", "")
	s.send("if True:\r\x04")
	s.wait(`\n\*\* \(SyntaxError\) got newline, want indent\n(.*\n)*distproc\S+3>$`)
}

// TestIndent types a block without its spaces, which the shell adds, but neither to pastes nor
// within strings.
func TestIndent(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("def f(n):\r")
	s.wait(`\n\.+\S+1>$`)
	s.send("if n:\r")
	s.wait(`\n\.+\S+1>   if n:\n\.+\S+1>$`)
	s.send("return 1\r")
	s.wait(`\n\.+\S+1>     return 1\n\.+\S+1>$`)
	s.send("return 2\r")
	s.wait(`\n\.+\S+1>   return 2\n\.+\S+1>$`)
	s.send("\r")
	s.prompt("2", "")
	s.send("\x0cf(1), f(0)\r")
	s.wait(`\n\(1, 2\)\ndistproc\S+3>$`)
	s.send("\x0cdef g():\r")
	s.wait(`\n\.+\S+3>$`)
	s.send(pasteBegin + "  x = 3\r  return x\r" + pasteEnd)
	s.wait(`\n\.+\S+3>   return x\n\.+\S+3>$`)
	s.send("\r")
	s.prompt("4", "")
	s.send("\x0cg()\r")
	s.wait(`\n3\ndistproc\S+5>$`)
	s.send("\x0cx = '''so:\r")
	s.wait(`\n\.+\S+5>$`)
	s.send("on'''\rx\r")
	s.wait(`"so:\\non"\ndistproc\S+7>$`)
	// The empty line of a paste ends no block, also when it is read again because a line that
	// was typed after it was wrong.
	s.send("\x0c" + pasteBegin + "def k():\r  x = 1\r\r  y = 2\r" + pasteEnd)
	s.wait(`\n\.+\S+7>   y = 2\n\.+\S+7>$`)
	s.send("\x15      return x\r")
	s.wait(`again; Ctrl-C drops the block\)\n\.+\S+7>$`)
	s.send("\x15  return y\r")
	s.wait(`\n\.+\S+7>   return y\n\.+\S+7>$`)
	s.send("\r")
	s.prompt("8", "")
	s.send("\x0ck()\r")
	s.wait(`\n2\ndistproc\S+9>$`)
}

func TestIndentAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{"x = 1"}, ""},
		{[]string{"def f():  # yes"}, "  "},
		{[]string{"def f():", "    if x:"}, "        "},
		{[]string{"def f():", "    if x:", "        return 1", ""}, "    "},
		{[]string{"def f():", "  x = {1:", "  2}"}, "  "},
		{[]string{"for i in x:", "  pass", "  # why"}, ""},
		{[]string{"def f():", "\tx = 1"}, "\t"},
		{[]string{""}, ""},
	} {
		if got := indentAfter(c.lines); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}
