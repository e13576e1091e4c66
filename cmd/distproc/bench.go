package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/bench"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

const (
	maxInFlight  = 1 << 16 // requests; a session takes no more
	defaultWidth = 80      // of the picture, where there is no terminal
)

// benchFlags are the flags of distproc bench.
type benchFlags struct {
	connection
	join    joinList
	direct  bool
	kind    string
	message string
	call    bool // a message was given
	json    bool
	load    bench.Config
}

func benchCommand() *cobra.Command {
	var b benchFlags
	cmd := &cobra.Command{
		Use:   "bench --join NAMES",
		Short: "Ask running nodes as fast as they answer, or at a given rate, and tell how long it took",
		Long: `It attaches to one node, owns nothing, and asks all of that cluster: each request goes to the owner of its id, over
one session to each node. So --join names one node, and others to attach to if that is down. With --direct=false
it attaches to all nodes of --join and spreads its callers over them, and these nodes ask the owners.

Each caller makes its next request when it has the answer of the last one. With --rate requests are due at fixed times instead, and
latency counts from when a request was due: so a stall shows in all the requests that it held up.

Ctrl-C ends it early; the results are printed all the same. Exit status: 1 if a request failed.`,
		Example: "  distproc bench --join 1@127.0.0.1,2@127.0.0.1\n  distproc bench --join 1@127.0.0.1 --rate 1000 --duration 1m --json | tail -1 | jq .p99_us",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(cmd.Flags().Changed); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return b.run(ctx, cmd.OutOrStdout())
		},
	}
	b.register(cmd.Flags())
	return cmd
}

func (b *benchFlags) register(f *pflag.FlagSet) {
	b.connection.register(f)
	f.Var(&b.join, "join", "ask the cluster of these nodes, `NAME@HOST,…`, or of what dns:HOST:PORT, srv:NAME, file:PATH or exec:COMMAND names: attach to the first that can be reached, or with --direct=false to all of them")
	f.BoolVar(&b.direct, "direct", true, "ask the owners of ids, all over the cluster; if false the nodes of --join ask them")
	f.IntVar(&b.load.Concurrency, "concurrency", 50, "callers")
	f.IntVar(&b.load.Batch, "batch", 1, "requests that a caller makes at once; when all are answered it makes the next ones")
	f.DurationVar(&b.load.Duration, "duration", 10*time.Second, "for how long; with --requests only if it is given, and then until the first of both")
	f.Int64Var(&b.load.Requests, "requests", 0, "how many requests to make")
	f.Float64Var(&b.load.Rate, "rate", 0, "requests that are due per second, however long others take; latency counts from then (default none: a caller's next one follows its last answer)")
	f.Int64Var(&b.load.IDs, "ids", 1000, "ask for the ids from 0 to this number less 1")
	f.Float64Var(&b.load.Zipf, "zipf", 0, "a number over 1: ask for id k in proportion to 1/(1+k)^`S` (default all alike)")
	f.Uint64Var(&b.load.Seed, "seed", 0, "of the choice of ids (default another one each time)")
	f.StringVar(&b.kind, "kind", "", "ask workers of this kind (default the default kind)")
	f.StringVar(&b.message, "call", "", "send this `MESSAGE` to the workers of a serial kind, instead of asking for a value")
	f.DurationVar(&b.load.Timeout, "timeout", 5*time.Second, "of a request, from when it is made")
	f.BoolVar(&b.json, "json", false, "print the results as one more line, a JSON object")
}

// check refuses what makes no sense, and completes the load.
func (b *benchFlags) check(given func(flag string) bool) error {
	l := &b.load
	switch {
	case len(b.join) == 0:
		return usagef("distproc bench: pass --join with the nodes to ask, such as --join 1@127.0.0.1,2@127.0.0.1")
	case l.Concurrency < 1:
		return usagef("--concurrency %d: there must be a caller", l.Concurrency)
	case l.Batch < 1:
		return usagef("--batch %d: a caller makes at least 1 request at once", l.Batch)
	case l.Concurrency > maxInFlight/l.Batch:
		return usagef("--concurrency %d --batch %d: at most %d requests can be in flight", l.Concurrency, l.Batch, maxInFlight)
	case l.Duration <= 0:
		return usagef("--duration %s: it must take some time", l.Duration)
	case given("requests") && l.Requests < 1:
		return usagef("--requests %d: make at least 1", l.Requests)
	case given("rate") && (!(l.Rate > 0) || math.IsInf(l.Rate, 0)):
		return usagef("--rate %g: say how many requests per second, more than 0", l.Rate)
	case l.IDs < 1:
		return usagef("--ids %d: there must be an id to ask for", l.IDs)
	case given("zipf") && (!(l.Zipf > 1) || math.IsInf(l.Zipf, 0)):
		return usagef("--zipf %g: say a number over 1, such as 1.1", l.Zipf)
	case l.Timeout <= 0:
		return usagef("--timeout %s: a request must have some time", l.Timeout)
	case given("call") && b.kind == "":
		return usagef("--call: pass --kind with the serial kind that takes the message")
	}
	if err := b.join.check(0); err != nil {
		return err
	}
	if err := b.connection.check(); err != nil {
		return err
	}
	if given("requests") && !given("duration") {
		l.Duration = 0
	}
	if !given("seed") {
		l.Seed = uint64(rand.Uint32())
	}
	b.call = given("call")
	return nil
}

// run makes the load and prints what came of it.
func (b *benchFlags) run(ctx context.Context, out io.Writer) error {
	progress := &progressLine{w: os.Stderr}
	clients, err := b.attach(ctx, slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	about := bench.About{Kind: cmp.Or(b.kind, worker.DefaultKind), Call: b.call}
	for _, c := range clients {
		defer c.Close()
		about.Nodes = append(about.Nodes, text.Printable(c.Self()))
		b.load.Asks = append(b.load.Asks, b.ask(c))
	}
	if b.direct {
		members, err := clients[0].Members(ctx)
		if err != nil {
			return err
		}
		about.Nodes = nil
		for _, m := range members {
			about.Nodes = append(about.Nodes, text.Printable(m.Name))
		}
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		b.load.Watch = progress.show
	}
	b.load.GiveUp = func() {
		for _, c := range clients {
			c.Close()
		}
	}
	result := bench.Run(ctx, b.load)
	progress.clear()
	if err := result.WriteText(out, b.load, about, columns()); err != nil {
		return err
	}
	if b.json {
		if err := result.WriteJSON(out, b.load, about); err != nil {
			return err
		}
	}
	if n := result.Errors(); n > 0 {
		return fmt.Errorf("%d of %d requests failed", n, result.Requests)
	}
	return nil
}

// ask returns how to make a request with a client.
func (b *benchFlags) ask(c *node.Client) bench.Ask {
	switch family := c.Family(b.kind); {
	case b.call:
		message := worker.BytesValue(b.message)
		return func(ctx context.Context, id worker.ID) (worker.Reply, error) { return family.Call(ctx, id, message) }
	case b.kind != "":
		return family.Request
	default:
		return c.Request
	}
}

// attach attaches to the nodes of --join, and goes without those that it does not reach,
// unless that is all of them. One client is enough for what goes to the owners: with a
// session to each node for all callers, more of their requests cross together.
func (b *benchFlags) attach(ctx context.Context, log *slog.Logger) ([]*node.Client, error) {
	cookie, _, err := b.cookie(node.ReadCookie)
	if err != nil {
		return nil, err
	}
	names, err := b.join.find(ctx, log)
	if err != nil {
		return nil, err
	}
	clients, errs := make([]*node.Client, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			clients[i], errs[i] = node.Attach(ctx, node.ClientConfig{Node: name, Cookie: cookie, TLS: b.tls, NoBusyPoll: !b.busyPoll, Direct: b.direct, Logger: log})
		})
	}
	wg.Wait()
	clients = slices.DeleteFunc(clients, func(c *node.Client) bool { return c == nil })
	if len(clients) == 0 {
		why := make([]string, len(errs))
		for i, err := range errs {
			why[i] = fmt.Sprintf("%s: %v", names[i], err)
		}
		return nil, fmt.Errorf("no node of --join can be asked: %s", strings.Join(why, "; "))
	}
	for i, err := range errs {
		if err != nil {
			log.Warn("the others are asked without this node", "node", names[i], "why", err)
		}
	}
	if b.direct {
		for _, c := range clients[1:] {
			c.Close()
		}
		clients = clients[:1]
	}
	return clients, nil
}

// columns is the width of the terminal at stdout.
func columns() int {
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 0 {
		return width
	}
	return defaultWidth
}
