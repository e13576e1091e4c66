package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/repl"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// A oneShot is a command that attaches to a node, runs one command of the shell there, and
// ends. It is a single process: there is no program that could need another one.
type oneShot struct {
	connection
	attach  string
	timeout time.Duration
	color   string
	json    bool
	raw     bool
}

// exitUnknown is the exit status of a call that may have run.
const exitUnknown = repl.ExitStatus(3)

func oneShotCommands() []*cobra.Command {
	return []*cobra.Command{
		getCommand(), callCommand(), invalidateCommand(), whyCommand(), statusCommand(), eventsCommand(), topCommand(),
	}
}

// command returns a command with the flags that all of them have.
func (o *oneShot) command(use, short, long string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, DisableFlagsInUseLine: true}
	f := cmd.Flags()
	o.connection.register(f)
	f.StringVar(&o.attach, "attach", "", "the running node to ask, `NAME@HOST` or HOST:PORT (default the one node of yours on this machine)")
	f.StringVar(&o.color, "color", "auto", "auto, always or never; auto is at a terminal, unless NO_COLOR is set")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long a request may take")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see %s --help; an id or a message that begins with - stands after --", err, cmd.CommandPath())
	})
	return cmd
}

// registerJSON registers --json.
func (o *oneShot) registerJSON(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&o.json, "json", false, what)
}

const (
	oneObject = "print one line of JSON: an object with names, durations in seconds"
	objects   = "print one line of JSON: an object with names, durations in seconds; a list of them for several ids"
)

func (o *oneShot) registerRaw(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.raw, "raw", false, "print the bytes of the value as they are, and nothing else")
}

const exitStatuses = "\n\nThe exit status is 0 for success, 1 for a failure, and 2 for a command line that makes no sense."

func getCommand() *cobra.Command {
	var o oneShot
	var kind string
	var refresh bool
	cmd := o.command("get ID… [--kind K]", "Print the values of ids", `It asks for the value of each id, as request does in the shell, and prints a row for each.
An id is written as in an HTTP path: 7 is the number 7, all else is text as it stands.`+exitStatuses+`
It is 1 if one of the ids has failed; its row then has the error.`)
	cmd.Example = "  distproc get 7\n  distproc get 7 8 9 --kind price --json\n  distproc get logo --kind file --raw > logo.png"
	o.registerJSON(cmd, objects)
	o.registerRaw(cmd)
	cmd.Flags().StringVar(&kind, "kind", "", "the kind of workers to ask (default \"default\")")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "load the values again first")
	cmd.Args = idsOf("get")
	o.complete(cmd, idWords)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		if o.raw && len(ids) > 1 {
			return usagef("distproc get: --raw is for one id: nothing would tell where a value ends")
		}
		c := repl.Command{Name: "request", As: "get", Args: map[string]any{"id": ids, "kind": kind}}
		if refresh {
			c.Name = "refresh"
		}
		return o.run(cmd, c)
	}
	return cmd
}

func callCommand() *cobra.Command {
	var o oneShot
	cmd := o.command("call KIND ID [MESSAGE|-]", "Send a message to the worker of an id", `It sends the message to the worker of an id of a serial kind, and prints the answer. Without a
message it sends an empty one; - reads it from the standard input, up to 1 MiB.`+exitStatuses+`
It is 3 if the outcome is unknown: the call may have run, or may still run.`)
	cmd.Example = "  distproc call account 7 'deposit 5'\n  distproc call account 7 - --raw < order.json"
	o.registerJSON(cmd, oneObject)
	o.registerRaw(cmd)
	o.complete(cmd, kindWords, idWords, nil)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) < 2 || len(args) > 3 {
			return usagef("distproc call: say KIND ID and a MESSAGE of one word, in quotes if it has spaces; not %d words", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := repl.Command{Name: "call", Args: map[string]any{"kind": args[0], "id": args[1]}}
		if len(args) > 2 {
			message := args[2]
			if message == stdin {
				var err error
				if message, err = readMessage(cmd.Context(), cmd.InOrStdin()); err != nil {
					return err
				}
			}
			c.Args["message"] = message
		}
		return o.run(cmd, c)
	}
	return cmd
}

// readMessage reads a message to its end, or until ctx ends; SIGINT ends the process
// meanwhile.
func readMessage(ctx context.Context, from io.Reader) (string, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() { // it goes on until the process ends if ctx ends first
		data, err := io.ReadAll(io.LimitReader(from, wire.MaxValue+1))
		done <- result{data, err}
	}()
	select {
	case got := <-done:
		if got.err == nil && len(got.data) > wire.MaxValue {
			got.err = fmt.Errorf("a message is at most %d bytes", wire.MaxValue)
		}
		if got.err != nil {
			return "", fmt.Errorf("the message from the standard input: %w", got.err)
		}
		return string(got.data), nil
	case <-ctx.Done():
		return "", repl.ExitStatus(128 + int(syscall.SIGTERM))
	}
}

func invalidateCommand() *cobra.Command {
	var o oneShot
	var kind string
	cmd := o.command("invalidate ID… [--kind K]", "Make all nodes forget the values of ids",
		`All nodes forget the value of each id: the next request loads it, even if a load runs now.`+exitStatuses)
	cmd.Example = "  distproc invalidate 7 8 --kind price"
	o.registerJSON(cmd, objects)
	cmd.Flags().StringVar(&kind, "kind", "", "the kind of workers (default \"default\")")
	cmd.Args = idsOf("invalidate")
	o.complete(cmd, idWords)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return o.run(cmd, repl.Command{Name: "invalidate", Args: map[string]any{"id": ids, "kind": kind}})
	}
	return cmd
}

func whyCommand() *cobra.Command {
	var o oneShot
	var kind string
	cmd := o.command("why ID [--kind K]", "Explain where an id belongs, and what its worker does",
		`It says which node owns the id and why, what its worker does, which node takes over if that one fails,
and what a call of a strict kind waits for.`+exitStatuses)
	cmd.Example = "  distproc why 7 --kind price"
	o.registerJSON(cmd, oneObject)
	cmd.Flags().StringVar(&kind, "kind", "", "the kind of workers (default \"default\")")
	o.complete(cmd, idWords, nil)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("distproc why: say one ID, not %d", len(args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.run(cmd, repl.Command{Name: "why", Args: map[string]any{"id": args[0], "kind": kind}})
	}
	return cmd
}

func statusCommand() *cobra.Command {
	var o oneShot
	var own bool
	cmd := o.command("status [--self]", "Show whether all is well, and what is not", `It prints what needs attention first: members that have failed, are stuck or do not answer, nodes that are
not ready, kinds that differ, strict kinds without a quorum. Then it lists the nodes.

With --self it asks about the node that it attaches to, and no other: that is for the health check of a
container or of a supervisor, which must not restart a node because another one has failed.

The exit status is 0 if all is well, 1 if something needs attention or no node can be asked, and 2 for a
command line that makes no sense.`)
	cmd.Example = "  distproc status\n  distproc status --self --attach 1@127.0.0.1"
	o.registerJSON(cmd, oneObject)
	cmd.Flags().BoolVar(&own, "self", false, "ask about the node itself only")
	o.complete(cmd)
	cmd.Args = noArguments
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return o.run(cmd, repl.Command{Name: "status", Args: map[string]any{"own": own}})
	}
	return cmd
}

func eventsCommand() *cobra.Command {
	var o oneShot
	var of, has string
	var since time.Duration
	var last int
	var follow bool
	cmd := o.command("events [-f]", "Show what happened on a node", `A node keeps its last 10,000 events, 2 MiB of them at most: who came, failed, left or was refused, changes of
the view and of kinds, what other programs did, and what its log has besides. With -f it shows the last 10, and
goes on until Ctrl-C, also when the node is started again.`+exitStatuses)
	cmd.Example = "  distproc events --since 10m\n  distproc events -f --json"
	o.registerJSON(cmd, "print JSON: a list of objects, or with -f one object a line")
	f := cmd.Flags()
	f.StringVar(&of, "node", "", "the member, `NAME@HOST`, whose events they are (default the node that is asked)")
	f.DurationVar(&since, "since", 0, "only events that are not older, such as 10m")
	f.StringVar(&has, "text", "", "only events that have this text in them")
	f.IntVarP(&last, "last", "n", -1, "how many of the newest events (default all, or 10 with -f)")
	f.BoolVarP(&follow, "follow", "f", false, "go on")
	o.complete(cmd)
	cmd.Args = noArguments
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c := repl.Command{Name: "events", Args: map[string]any{"text": has, "follow": follow}}
		switch {
		case cmd.Flags().Changed("last") && last < 0:
			return usagef("--last %d: say how many events, from 0 up", last)
		case cmd.Flags().Changed("last"):
			c.Args["last"] = last
		case follow && !cmd.Flags().Changed("since"):
			c.Args["last"] = 10
		}
		if since < 0 {
			return usagef("--since %s: say how old an event may be, such as 10m", since)
		}
		if since > 0 {
			c.Args["since"] = since
		}
		if of != "" {
			c.Args["node"] = of
		}
		if !follow {
			return o.run(cmd, c)
		}
		return o.follow(cmd, c)
	}
	return cmd
}

func topCommand() *cobra.Command {
	var o oneShot
	cmd := o.command("top", "Watch the nodes, the kinds and the ids with the most hits",
		`It shows them on the whole terminal, each second anew, until a key is pressed.`+exitStatuses)
	o.complete(cmd)
	cmd.Args = noArguments
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd, repl.Command{Name: "top"}) }
	return cmd
}

// idsOf returns what checks the ids of a command.
func idsOf(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, ids []string) error {
		if len(ids) == 0 {
			return usagef("distproc %s: say the ID, or several", command)
		}
		return nil
	}
}

// check refuses what makes no sense, and returns what is to be done.
func (o *oneShot) check(c *repl.Command) (repl.Color, error) {
	color, err := repl.ParseColor(o.color)
	if err != nil {
		return 0, usagef("--color: %w", err)
	}
	if o.timeout <= 0 {
		return 0, usagef("--timeout %s: it takes some time", o.timeout)
	}
	if o.json && o.raw {
		return 0, usagef("pass --json or --raw, not both")
	}
	switch {
	case o.json:
		c.Format = repl.FormatJSON
	case o.raw:
		c.Format = repl.FormatRaw
	}
	c.Timeout = o.timeout
	return color, o.connection.check()
}

// client attaches to the node that the flags name, or to the one node of this machine.
func (o *oneShot) client(ctx context.Context) (*node.Client, error) {
	if o.attach == "" {
		var err error
		if o.attach, err = theLocalNode(); err != nil {
			return nil, err
		}
	}
	if err := node.CheckAddr(o.attach); err != nil {
		return nil, usageError{fmt.Errorf("--attach: %w", err)}
	}
	cookie, _, err := o.cookie(node.ReadCookie)
	if err != nil {
		return nil, err
	}
	return node.Attach(ctx, node.ClientConfig{Node: o.attach, Cookie: cookie, TLS: o.tls, NoBusyPoll: !o.busyPoll})
}

// run runs a command of the shell. Its error is that of the process.
func (o *oneShot) run(cmd *cobra.Command, c repl.Command) error {
	err := o.ask(cmd, c)
	switch {
	case errors.Is(err, repl.ErrInterrupted):
		fmt.Fprintln(os.Stderr, "distproc:", text.Printable(err.Error()))
		return errInterrupt
	case errors.Is(err, errStopped): // it was to do something, and has not
		fmt.Fprintln(os.Stderr, "distproc:", text.Printable(err.Error()))
		return repl.ExitStatus(128 + int(syscall.SIGTERM))
	case c.Name == "call" && repl.MayHaveRun(err):
		fmt.Fprintln(os.Stderr, "distproc:", text.Printable(err.Error()))
		return exitUnknown
	}
	return err
}

func (o *oneShot) ask(cmd *cobra.Command, c repl.Command) error {
	color, err := o.check(&c)
	if err != nil {
		return err
	}
	client, err := o.client(cmd.Context())
	if err != nil {
		return err
	}
	defer client.Close()
	return repl.New(repl.Config{Cluster: client, Color: color}).RunCommand(cmd.Context(), c)
}

// follow is run for a command that goes on until it is stopped, which is no failure.
func (o *oneShot) follow(cmd *cobra.Command, c repl.Command) error {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	defer whenUnread(os.Stdout, func() { cancel(errBrokenPipe) })()
	cmd.SetContext(ctx)
	err := o.ask(cmd, c)
	switch {
	case errors.Is(err, repl.ErrInterrupted), errors.Is(err, errStopped):
		return nil
	case errors.Is(err, errBrokenPipe):
		return errBrokenPipe
	}
	return err
}
