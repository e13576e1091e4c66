package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/wire/cookie"
)

const maxCookieInput = 4096 // bytes of standard input

func cookieCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cookie (new | add [-] | promote | retire)",
		Short: "Make the cluster's secret, and change it while the cluster runs",
		Long: `The cookie is the secret that all nodes and clients of a cluster share. Its file has one a line; empty
lines and those that begin with # do not count. A node proves the first one to the nodes that it dials,
as clients do, and accepts peers that prove any of them.

A running cluster changes its cookie in three steps. Take each step on all machines, and send SIGHUP
to each node or restart it, before you take the next one. The new cookie is made once, by
distproc cookie new --cookie-file new.

  distproc cookie add - < new     nodes accept the new cookie, too
  distproc cookie promote         nodes show the new one; now give it to clients
  distproc cookie retire          nodes accept only the new one

Each step can be repeated: what is done already stays as it is.`,
		Example: "  distproc cookie new\n  distproc cookie new --cookie-file new\n  ssh db1 'distproc cookie add - && systemctl reload distproc' < new",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("distproc cookie: say what to do: new, add, promote or retire")
			}
			hint := "see distproc cookie --help"
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				hint = "did you mean " + strings.Join(like, " or ") + "?"
			}
			return usagef("no command %q of distproc cookie; %s", args[0], hint)
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // Args refuses everything
	}
	cmd.SuggestionsMinimumDistance = 2
	for _, c := range []struct {
		use, short string
		run        func(path string, args []string) (said string, err error)
	}{
		{"new", "Make the file, with mode 0600 and a new cookie; a file that is there stays", newCookie},
		{"add [-]", "Step 1: append a cookie that nodes accept, a new one or that of the standard input", addCookie},
		{"promote", "Step 2: move the cookie that was added in front, so that nodes and clients show it", promoteCookie},
		{"retire", "Step 3: remove all cookies but the first", retireCookie},
	} {
		cmd.AddCommand(cookieStep(c.use, c.short, c.run))
	}
	return cmd
}

func cookieStep(use, short string, run func(path string, args []string) (string, error)) *cobra.Command {
	var from connection
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Name() == "add" && len(args) == 1 && args[0] == stdin {
				return nil
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := from.cookiePath()
			if err == nil && path == "" {
				err = errors.New("DISTPROC_COOKIE is set, so nodes with this environment read no file; unset it, or pass --cookie-file")
			}
			if err != nil {
				return err
			}
			said, err := run(path, args)
			switch {
			case errors.Is(err, fs.ErrNotExist) && cmd.Name() != "new":
				return fmt.Errorf("no cookie file %s; copy it from another machine, or make one with: distproc cookie new", path)
			case err == nil:
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", path, said)
			}
			return err
		},
	}
	from.flags = cmd.Flags()
	cmd.Flags().StringVar(&from.cookieFile, "cookie-file", "", "the `FILE` (default distproc/cookie in the user's config folder)")
	cmd.Flags().String("config", "", "TOML `FILE` of the node: its cookie_file, if --cookie-file is not given")
	return cmd
}

func newCookie(path string, _ []string) (said string, err error) {
	if err := cookie.Create(path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("%s is there already, and stays as it is; to change the cookie of a cluster see: distproc cookie --help", path)
		}
		return "", err
	}
	return "has a new cookie; every machine of the cluster needs a copy that only its user can read", nil
}

func addCookie(path string, args []string) (said string, err error) {
	secret := cookie.New()
	if len(args) > 0 {
		if secret, err = cookieOf(os.Stdin); err != nil {
			return "", fmt.Errorf("standard input: %w", err)
		}
	}
	added, err := cookie.Add(path, secret)
	if !added {
		return "has this cookie already", err
	}
	return "has one more cookie, which nodes accept when they have read the file again; when all have: distproc cookie promote", err
}

// cookieOf reads a file with one cookie.
func cookieOf(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCookieInput+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCookieInput {
		return nil, fmt.Errorf("more than %d bytes; is it the right file?", maxCookieInput)
	}
	list, err := cookie.ParseFile(text)
	if err != nil {
		return nil, err
	}
	if len(list) > 1 {
		return nil, fmt.Errorf("%d cookies; add one at a time", len(list))
	}
	return list[0], nil
}

func promoteCookie(path string, _ []string) (said string, err error) {
	promoted, err := cookie.Promote(path)
	if !promoted {
		return "has the added cookie in front already", err
	}
	return "has the added cookie in front, which nodes show when they have read the file again; when all nodes and clients do: distproc cookie retire", err
}

func retireCookie(path string, _ []string) (said string, err error) {
	switch n, err := cookie.Retire(path); n {
	case 0:
		return "has one cookie, and nothing to retire", err
	case 1:
		return "has one cookie; the other one is gone, and nodes refuse it when they have read the file again", err
	default:
		return fmt.Sprintf("has one cookie; %d others are gone, and nodes refuse them when they have read the file again", n), err
	}
}
