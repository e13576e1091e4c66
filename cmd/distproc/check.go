package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/distproc/distproc/repl"
	"github.com/distproc/distproc/wire/file"
	"github.com/distproc/distproc/wire/text"
)

// anyName is the name of a node whose file does not say how it is called.
const anyName = "1@127.0.0.1"

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE…",
		Short: "Check files for --config without starting anything",
		Long: `It reads each file as a node would, its kinds and its settings, and prints all that is wrong with it, one
line each, with FILE:LINE. It does not look for the files and the machines that are named there. The exit
status is 0 if a node would take each file, else 1.`,
		Example: "  distproc check node.toml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s: name the file to check; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			wrong := false
			for _, path := range args {
				said, errs := checkFile(path)
				for _, err := range errs {
					fmt.Fprintln(cmd.ErrOrStderr(), text.Printable(err.Error()))
				}
				if wrong = wrong || len(errs) > 0; len(errs) == 0 {
					fmt.Fprintln(cmd.OutOrStdout(), text.Printable(said))
				}
			}
			if wrong {
				return repl.ExitStatus(1)
			}
			return nil
		},
	}
}

// checkFile returns what is in a file, or all that is wrong with it.
func checkFile(path string) (said string, errs []error) {
	data, err := file.Read(path, maxConfig)
	if err != nil {
		return "", []error{err}
	}
	var m member
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	m.register(flags, "info")
	m.kinds, m.name = path, anyName
	_, settings, _ := decodeConfig(data, path)
	applied := applySettings(settings, flags, path)
	if _, err := m.settings(); applied == nil && err != nil {
		errs = append(errs, err) // a value that makes no sense, or only with others
	}
	name := nameOf(m.name)
	if name == "@" { // that is wrong
		name = anyName
	}
	kinds, settings, wrong := parseConfig(data, path, name)
	errs = append(errs, wrong...)
	return fmt.Sprintf("%s: %s, %s", path, counted(len(kinds), "kind"), counted(len(settings), "setting of [node]")), byLine(errs)
}

// counted returns a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	one, rest, _ := strings.Cut(thing, " ")
	return strings.TrimSpace(fmt.Sprintf("%d %ss %s", n, one, rest))
}
