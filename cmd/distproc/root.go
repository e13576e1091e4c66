package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

Every flag can be given in the environment: --cookie-file as DISTPROC_COOKIE_FILE.`,
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
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				hint = "did you mean " + strings.Join(like, " or ") + "?"
			}
			return usagef("no command %q; %s", args[0], hint)
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags()) },
	}
	root.SuggestionsMinimumDistance = 2
	root.Version = thisBuild().String()
	root.SetVersionTemplate("distproc {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(nodeCommand(), replCommand(), benchCommand(), planCommand(), votersCommand(), versionCommand(), evaluatorCommand())
	root.AddCommand(hiddenCommands()...)
	completeFlags(root)
	return root
}

// insteadOf names flags of which one on the command line rules out the other in the
// environment.
var insteadOf = map[string]string{"name": "attach", "attach": "name"}

// fromEnvironment sets the flags that the command line does not from DISTPROC_ variables.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	given := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	flags.VisitAll(func(f *pflag.Flag) {
		name := "DISTPROC_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := os.LookupEnv(name)
		if !ok || value == "" || given[f.Name] || given[insteadOf[f.Name]] || f.Name == "help" || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = usagef("%s=%q in the environment: %v", name, value, e)
		}
	})
	return err
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, but got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}
