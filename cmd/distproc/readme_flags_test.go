//go:build unix

package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node"
)

const flagsDocument = "cmd/distproc/README.md"

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	flagName = regexp.MustCompile(`^--?[a-z][a-z-]*`)
	link     = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notWord  = regexp.MustCompile(`[^a-z0-9 -]`)
)

// flagsOf returns the flags of a command of its own, without --help.
func flagsOf(t *testing.T, command string) map[string]*pflag.Flag {
	t.Helper()
	cmd, _, err := rootCommand().Find([]string{command})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]*pflag.Flag{}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			flags[f.Name] = f
		}
	})
	return flags
}

// rows returns the cells of the table of a document that has this header.
func rows(t *testing.T, document, header string) (rows [][]string) {
	t.Helper()
	_, table, found := strings.Cut(readDocument(t, document), "\n"+header+"\n")
	if !found {
		t.Fatalf("%s has no table %s", document, header)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		cells := strings.Split(strings.Trim(row, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// TestReadmeFlags compares the tables of flags with the flags: which there are, of which commands,
// and their defaults.
func TestReadmeFlags(t *testing.T) {
	t.Parallel()
	commands := map[string]map[string]*pflag.Flag{}
	listed := map[string]map[string]bool{}
	for _, command := range []string{"node", "repl", "bench"} {
		commands[command], listed[command] = flagsOf(t, command), map[string]bool{}
	}
	for _, row := range rows(t, flagsDocument, "| flag | of | meaning |") {
		for _, f := range flagsIn(row[0]) {
			for command, flags := range commands {
				flag, has := flags[f.name], slices.Contains(strings.Split(row[1], ", "), command)
				switch {
				case flag != nil && has:
					listed[command][f.name] = true
					checkDefault(t, command, f.value, flag)
				case flag != nil && command != "bench", has: // bench lists --join in its own table
					t.Errorf("%s has --%s: %t, but the table says %s", command, f.name, flag != nil, row[1])
				}
			}
		}
	}
	for _, row := range rows(t, flagsDocument, "| flag | default | meaning |") {
		for _, f := range flagsIn(row[0]) {
			flag := commands["bench"][f.name]
			if flag == nil {
				t.Errorf("bench has no --%s", f.name)
				continue
			}
			listed["bench"][f.name] = true
			if row[1] != "random" && row[1] != "default" {
				checkDefault(t, "bench", row[1], flag)
			}
		}
	}
	for command, flags := range commands {
		for name := range flags {
			if !listed[command][name] {
				t.Errorf("%s does not list --%[3]s of %[2]s", flagsDocument, command, name)
			}
		}
	}
}

type listedFlag struct{ name, value string }

// flagsIn returns the flags of a cell, each with what follows it.
func flagsIn(cell string) (flags []listedFlag) {
	for _, span := range codeSpan.FindAllStringSubmatch(cell, -1) {
		for word := range strings.SplitSeq(span[1], ", ") {
			name := flagName.FindString(word)
			if strings.HasPrefix(name, "--") {
				flags = append(flags, listedFlag{name[2:], strings.TrimLeft(word[len(name):], " =")})
			}
		}
	}
	return flags
}

// checkDefault compares a value in the tables with the default of a flag. In the first one
// a name in capital letters stands for any value, and false is what turns a flag off.
func checkDefault(t *testing.T, command, value string, flag *pflag.Flag) {
	t.Helper()
	placeholder := strings.HasSuffix(value, "…") || strings.ToUpper(value) == value && strings.ToLower(value) != value
	switch {
	case value == "" && slices.Contains([]string{"", "0", "false", "[]"}, flag.DefValue), placeholder:
	case value == "false" && flag.DefValue == "true":
	// These two depend on the host, and on the command.
	case flag.Name == "timing" && value == "local", flag.Name == "log-level" && value == "info":
	case value != flag.DefValue && value+"0s" != flag.DefValue: // 10m is 10m0s
		t.Errorf("the default of %s --%s is %q, but the table says %q", command, flag.Name, flag.DefValue, value)
	}
}

// TestReadmeCommands parses each command line of distproc within a text, runs those of plan, and
// looks for each flag.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"help": true, "version": true, "dot-iex": true, "remsh": true} // of cobra, and of iex
	root := rootCommand()
	root.InitDefaultCompletionCmd("completion", "bash")
	for _, command := range root.Commands() {
		for _, c := range append(command.Commands(), command) {
			c.LocalFlags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
		}
	}
	for _, document := range documents {
		for _, span := range codeSpan.FindAllStringSubmatch(withoutBlocks(readDocument(t, document)), -1) {
			words := strings.Fields(span[1])
			if words[0] == "distproc" && len(words) > 1 {
				if cmd, _, err := root.Find(words[1:]); err != nil || !cmd.HasParent() {
					t.Errorf("%s: %s: no such command: %v", document, span[1], err)
				} else if err := tryCommand(cmd, split(span[1])[2:]); err != nil {
					t.Errorf("%s: %s: %v", document, span[1], err)
				}
			}
			for _, f := range flagsIn(span[0]) {
				if !known[f.name] {
					t.Errorf("%s: no command has --%s", document, f.name)
				}
			}
		}
	}
}

// tryCommand parses the arguments of a command and the names of nodes among them. It runs a plan.
func tryCommand(cmd *cobra.Command, args []string) error {
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	for _, name := range []string{"name", "attach", "join"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			for addr := range strings.SplitSeq(strings.Trim(f.Value.String(), "[]"), ",") {
				if err := node.CheckAddr(addr); err != nil {
					return err
				}
			}
		}
	}
	if cmd.Name() == "plan" && len(args) > 0 {
		cmd.SetOut(io.Discard)
		return cmd.RunE(cmd, nil)
	}
	return nil
}

// split returns the words of a command line. Single quotes make one word of several.
func split(line string) (words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func withoutBlocks(text string) string {
	var kept strings.Builder
	for i, part := range strings.Split(text, "```") {
		if i%2 == 0 {
			kept.WriteString(part)
		}
	}
	return kept.String()
}

// TestReadmeKinds compares the table of keys with those that a file of kinds may have.
func TestReadmeKinds(t *testing.T) {
	t.Parallel()
	var want, got []string
	for f := range reflect.TypeFor[kindConfig]().Fields() {
		want = append(want, "`"+f.Tag.Get("toml")+"`")
	}
	for _, row := range rows(t, flagsDocument, "| key | default | meaning |") {
		got = append(got, row[0])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the table has %s, a file %s", got, want)
	}
}

// TestReadmeLinks follows the links within the repository, and checks the size of the
// first document.
func TestReadmeLinks(t *testing.T) {
	t.Parallel()
	if n := len(readDocument(t, "README.md")); n > 9<<10 {
		t.Errorf("README.md has %d bytes; at most 9 KiB, so that it is read to its end", n)
	}
	for _, document := range documents {
		for _, l := range link.FindAllStringSubmatch(withoutBlocks(readDocument(t, document)), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			target := document
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(document), l[1])
			}
			if _, err := os.Stat(filepath.Join("../..", target)); err != nil {
				t.Errorf("%s: %s: %v", document, l[0], err)
			} else if l[2] != "" && !slices.Contains(anchors(readDocument(t, target)), l[2]) {
				t.Errorf("%s: %s: no such heading", document, l[0])
			}
		}
	}
}

// anchors returns the headings of a document as links name them.
func anchors(text string) (anchors []string) {
	for _, h := range heading.FindAllStringSubmatch(withoutBlocks(text), -1) {
		words := notWord.ReplaceAllString(strings.ToLower(h[1]), "")
		anchors = append(anchors, "#"+strings.ReplaceAll(words, " ", "-"))
	}
	return anchors
}
