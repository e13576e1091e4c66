package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/voters"
	"github.com/distproc/distproc/repl"
	"github.com/distproc/distproc/wire/text"
)

// voterFlags are the flags of distproc voters.
type voterFlags struct {
	connection
	attach  string
	timeout time.Duration
	json    bool
}

func votersCommand() *cobra.Command {
	var v voterFlags
	cmd := &cobra.Command{
		Use:   "voters [list | add NAME@HOST | remove NAME@HOST | recover]",
		Short: "Show and change the voters of strict kinds",
		Long: `Voters are the nodes that decide where the ids of strict kinds are. They are changed one at a time,
while the cluster runs; --voters of a node has no influence on that once they have begun.

A voter that is lost is replaced by distproc voters remove, and then distproc voters add of the same
name, on an empty data directory, or of another one. distproc voters recover is for when a majority
is gone for good.

The exit status of the list is 1 if no majority answers or none leads.`,
		Example: "  distproc voters --attach 1@127.0.0.1\n  distproc voters remove 3@127.0.0.1 --attach 1@127.0.0.1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := "see distproc voters --help"
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				hint = "did you mean " + strings.Join(like, " or ") + "?"
			}
			return usagef("no command %q of distproc voters; %s", args[0], hint)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return v.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.SuggestionsMinimumDistance = 2
	list := &cobra.Command{
		Use:   "list",
		Short: "Show who the voters are, and how they are",
		Args:  noArguments,
		RunE:  cmd.RunE,
	}
	v.register(cmd)
	v.register(list)
	for _, c := range []*cobra.Command{cmd, list} {
		c.Flags().BoolVar(&v.json, "json", false, "print JSON")
	}
	cmd.AddCommand(list, v.changeCommand(true), v.changeCommand(false), recoverCommand())
	return cmd
}

func (v *voterFlags) register(cmd *cobra.Command) {
	v.connection.register(cmd.Flags())
	cmd.Flags().StringVar(&v.attach, "attach", "", "the running node to ask, `NAME@HOST` or HOST:PORT; any one of the cluster (default the one node of yours on this machine)")
	cmd.Flags().DurationVar(&v.timeout, "timeout", 30*time.Second, "how long it may take")
}

func (v *voterFlags) changeCommand(add bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME@HOST",
		Short: "Take the vote from a node, which may be lost",
		Long: `The node is no voter any more, and stays in the cluster. A leader hands leadership over first. It is
refused if a majority of the others does not answer, because they could decide nothing then.`,
	}
	if add {
		cmd.Use, cmd.Short = "add NAME@HOST", "Make a running node a voter"
		cmd.Long = `The node has to run, with its own name among its --voters and an empty data directory. It gets the
log of the voters first, and has a vote when it has caught up: mostly in less than a second.`
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s takes the NAME@HOST of one node, not %d", cmd.CommandPath(), len(args))
		}
		name, err := placement.ParseName(args[0])
		if err != nil {
			return usageError{err}
		}
		return v.change(cmd.Context(), cmd.OutOrStdout(), voters.Change{Add: add, Name: name.String(), Timeout: v.timeout})
	}
	v.register(cmd)
	return cmd
}

// client attaches to the node that the flags name. The context ends after --timeout.
func (v *voterFlags) client(ctx context.Context) (context.Context, *node.Client, func(), error) {
	if v.attach == "" {
		var err error
		if v.attach, err = theLocalNode(); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := node.CheckAddr(v.attach); err != nil {
		return nil, nil, nil, usageError{err}
	}
	if v.timeout <= 0 {
		return nil, nil, nil, usagef("--timeout %s: it takes some time", v.timeout)
	}
	if err := v.check(); err != nil {
		return nil, nil, nil, err
	}
	cookie, _, err := v.cookie(node.ReadCookie)
	if err != nil {
		return nil, nil, nil, err
	}
	attaching, stop := context.WithTimeout(ctx, v.timeout)
	defer stop()
	c, err := node.Attach(attaching, node.ClientConfig{Node: v.attach, Cookie: cookie, TLS: v.tls, NoBusyPoll: !v.busyPoll})
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout+time.Second) // the node gives up first, and says why
	return ctx, c, func() { cancel(); c.Close() }, nil
}

func (v *voterFlags) list(ctx context.Context, w io.Writer) error {
	ctx, c, done, err := v.client(ctx)
	if err != nil {
		return err
	}
	defer done()
	r, err := c.Voters(ctx)
	if err != nil {
		return err
	}
	if v.json {
		err = json.NewEncoder(w).Encode(r)
	} else {
		err = printVoters(w, r)
	}
	if err == nil && !r.Quorum() {
		err = repl.ExitStatus(1)
	}
	return err
}

func (v *voterFlags) change(ctx context.Context, w io.Writer, change voters.Change) error {
	ctx, c, done, err := v.client(ctx)
	if err != nil {
		return err
	}
	defer done()
	r, err := c.ChangeVoters(ctx, change)
	switch {
	case err != nil:
		return err
	case !r.Done:
		return fmt.Errorf("%s", r.Why)
	}
	is := "is a voter now"
	if !change.Add {
		is = "is no voter any more"
	}
	_, err = fmt.Fprintln(w, change.Name, is)
	return err
}

// printVoters writes a report, whose texts come from other nodes.
func printVoters(out io.Writer, r *voters.Report) error {
	w := new(bytes.Buffer)
	if r.Count > 0 {
		leads := "no voter leads"
		if r.Leader != "" {
			leads = fmt.Sprintf("%s leads, in term %d", r.Leader, r.Term)
		}
		fmt.Fprintln(w, leads)
	}
	fmt.Fprintln(w, r.Majority())
	if hint := r.Hint(); hint != "" {
		fmt.Fprintln(w, hint)
	}
	if r.Count > 0 && r.Count%2 == 0 {
		fmt.Fprintf(w, "%d voters tolerate no more losses than %d: add or remove one\n", r.Count, r.Count-1)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "voter\trole\tterm\tbehind\tstate")
	for _, s := range r.Voters {
		state, term, behind := "answers", fmt.Sprint(s.Term), fmt.Sprint(s.Behind)
		if s.Problem != "" {
			state, behind = s.Problem, "-"
		}
		if s.Term == 0 {
			term = "-"
		}
		role := s.Role
		if role == voters.None {
			role = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Name, role, term, behind, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range r.Voters {
		if len(s.Given) > 0 {
			fmt.Fprintf(w, "%s was started with --voters %s, which has changed\n", s.Name, strings.Join(s.Given, ","))
		}
	}
	for line := range strings.Lines(w.String()) {
		if _, err := fmt.Fprintln(out, text.Printable(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func recoverCommand() *cobra.Command {
	var name, dir string
	var yes bool
	cmd := &cobra.Command{
		Use:   "recover --name NAME@HOST [--data-dir FOLDER]",
		Short: "Make a voter the only one when a majority is gone for good",
		Long: `This works on the data directory of one voter that is left, while its node does not run. Afterwards it
is the only voter, with the log that it has; then add others with distproc voters add.

All other voters must have stopped, and their data directories must never be used again.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addr, err := placement.ParseAddr(name)
			if name == "" {
				err = usagef("distproc voters recover: pass --name NAME@HOST of the voter that is left")
			}
			if err != nil {
				return usageError{err}
			}
			if dir == "" {
				if stateDir() == "" {
					return usagef("distproc voters recover: pass --data-dir, the data directory of the voter")
				}
				dir = filepath.Join(stateDir(), addr.Name.String())
			}
			r, err := voters.OpenRecovery(dir, addr.Name.String())
			if err != nil {
				return err
			}
			defer r.Close()
			return recoverVoter(cmd.OutOrStdout(), cmd.InOrStdin(), r, yes)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "`NAME@HOST` of the voter that is left")
	f.StringVar(&dir, "data-dir", "", "its data directory, a `FOLDER` (default distproc/NAME@HOST in the user's folder for state)")
	f.BoolVar(&yes, "yes-the-others-are-gone", false, "do it, without a question: the other voters have stopped for good")
	return cmd
}

// recoverVoter says what a recovery does, and does it if that is wanted.
func recoverVoter(w io.Writer, in io.Reader, r *voters.Recovery, yes bool) error {
	gone := slices.DeleteFunc(slices.Clone(r.Voters), func(name string) bool { return name == r.Name })
	fmt.Fprintf(w, `The log of %s ends with entry %d and view %d. Its voters are:
  %s

%s becomes the only voter. Entries that its log lacks are lost. Calls of
strict kinds run again when its node has started and a lease has passed.

These nodes must have stopped, and their data directories must never be used
again, or two nodes may act for one id at the same time. Delete them:
  %s

`, r.Name, r.Last, r.Epoch, strings.Join(r.Voters, "\n  "), r.Name, strings.Join(gone, "\n  "))
	if !yes {
		if !atTerminal() {
			return fmt.Errorf("nothing was changed; pass --yes-the-others-are-gone if all of this is true")
		}
		fmt.Fprintf(w, "Type %s to go on: ", r.Name)
		line, _ := bufio.NewReader(io.LimitReader(in, 1000)).ReadString('\n')
		if strings.TrimSpace(line) != r.Name {
			return fmt.Errorf("nothing was changed")
		}
	}
	if err := r.Do(); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	fmt.Fprintf(w, "%s is the only voter. Start its node with --voters %s,\nand add others with distproc voters add.\n", r.Name, r.Name)
	return nil
}
