package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completed returns what a shell is told to offer for the last argument.
func completed(t *testing.T, args ...string) string {
	t.Helper()
	root := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, args...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// TestShellCompletion completes command lines as a shell has them completed. The number at
// the end is the directive: 0 offers files, 4 none, 16 folders, 32 keeps the order, and 2
// adds no space.
func TestShellCompletion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"node --timing ":             "local lan wan :36",
		"node --timing l":            "local lan :36",
		"repl --timing=w":            "wan :36",
		"node --routing ":            "modulo rendezvous :36",
		"repl --color ":              "auto always never :36",
		"repl --log-level ":          "debug info warn error :36",
		"node --log-format=":         "text json :36",
		"node --source e":            "exec: :38",
		"node --ttl ":                "forever :36",
		"bench --busy-poll=":         "true false :36",
		"node --config ":             ":0",
		"bench --tls-cert ":          ":0",
		"voters --cookie-file ":      ":0",
		"node --data-dir ":           ":16",
		"voters recover --data-dir ": ":16",
		"bench --join ":              "dns: srv: file: exec: :38",
		"repl --attach ":             ":36",
		"repl --name 1@h ":           ":0",
		"node ":                      ":36",
		"voters add ":                ":36",
		"voters re":                  "recover remove :4",
		"bench --dur":                "--duration :4",
		"eval":                       ":4",
	} {
		if got := completed(t, strings.Split(line, " ")...); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// TestEveryFlagCompletes finds flags of which completion does not know what values they
// take, and words that their flags refuse.
func TestEveryFlagCompletes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			seen[f.Name] = true
			if _, has := cmd.GetFlagCompletionFunc(f.Name); !has && f.Name != "help" {
				t.Errorf("%s --%s: a shell offers files", cmd.CommandPath(), f.Name)
			}
			for _, word := range valuesOf[f.Name].words {
				word, _, _ = strings.Cut(word, "\t")
				if err := f.Value.Set(word); err != nil {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, word, err)
				}
			}
			for _, kind := range []string{"FILE", "FOLDER"} {
				if v := valuesOf[f.Name]; strings.Contains(f.Usage, "`"+kind+"`") && !v.files && !v.folders {
					t.Errorf("%s --%s takes a %s: %s", cmd.CommandPath(), f.Name, kind, f.Usage)
				}
			}
		})
		for _, c := range cmd.Commands() {
			look(c)
		}
	}
	look(rootCommand())
	for name := range valuesOf {
		if !seen[name] {
			t.Errorf("no command has --%s", name)
		}
	}
	// Each flag takes the values that the shell offers for it.
	for _, word := range valuesOf["timing"].words {
		word, _, _ = strings.Cut(word, "\t")
		if _, err := (&member{timing: word}).parseTiming(); err != nil {
			t.Error(err)
		}
	}
	for _, level := range valuesOf["log-level"].words {
		for _, format := range valuesOf["log-format"].words {
			if _, _, err := (&member{logLevel: level, logFormat: format}).logger(io.Discard); err != nil {
				t.Error(err)
			}
		}
	}
}
