package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "distproc",
		Short: "One place in a cluster for every id",
		Long: `distproc gives every id one place in a cluster: request(7) finds the node that owns id 7,
finds or starts the one worker for it there, asks it, and brings the answer back.

Every flag can be given in the environment: --cookie-file as DISTPROC_COOKIE_FILE. Those of a node can
also be in a file: see distproc config --help.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("say what to run: distproc node, distproc repl, or distproc --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			hint := "see distproc --help"
			if like := similar(cmd, args[0]); len(like) > 0 {
				hint = "did you mean " + strings.Join(like, " or ") + "?"
			}
			return usagef("no command %q; %s", args[0], hint)
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return fromFile(cmd)
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.Version = thisBuild().String()
	root.SetVersionTemplate("distproc {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(nodeCommand(), replCommand(), benchCommand(), planCommand(), votersCommand(), cookieCommand(), configCommand(), checkCommand(), versionCommand(), evaluatorCommand())
	root.AddCommand(oneShotCommands()...)
	root.AddCommand(hiddenCommands()...)
	completeFlags(root)
	return root
}

// similar returns the names of the commands that a user may have meant: those that begin
// so, or else those that differ by a letter or two.
func similar(cmd *cobra.Command, typed string) []string {
	like := cmd.SuggestionsFor(typed)
	begins := slices.DeleteFunc(slices.Clone(like), func(name string) bool { return !strings.HasPrefix(name, typed) })
	if len(begins) > 0 {
		return begins
	}
	return like
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, but got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
