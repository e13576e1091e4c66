// Command peers compares distproc with other programs for the same purposes, on this
// machine: with a goroutine that is called by a channel, GoAkt, Erlang, net/rpc,
// groupcache, Redis and net/http. The script run builds and starts it.
//
// The arguments of "peers measure" are how many rounds there are, how long each one takes
// for each program, and which programs that are not Go there are: Erlang, Redis. All
// programs of a group take turns, so that the load of the machine is the same for all,
// and the medians of the ratios of each round are printed as Markdown. Each call checks
// its answer, and any call that fails ends the run. "peers serve" is the other process of
// a call; its standard output is a line with its address, and it ends when its standard
// input does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	err := errors.New("usage: peers measure ROUNDS TIME [Erlang] [Redis] | peers serve WHAT [ARGUMENTS]")
	switch {
	case len(os.Args) >= 4 && os.Args[1] == "measure":
		err = measure(os.Stdout, os.Stderr, os.Args[2], os.Args[3], os.Args[4:])
	case len(os.Args) >= 3 && os.Args[1] == "serve":
		signal.Ignore(os.Interrupt, syscall.SIGHUP) // a terminal sends them to all, and measure ends this process
		err = serve(os.Stdout, os.Stdin, os.Args[2], os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// measure measures all groups one after the other. It writes a table of each to w, and
// what it does to progress.
func measure(w, progress io.Writer, rounds, each string, programs []string) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGHUP, syscall.SIGTERM)
	defer stop()
	b := &bench{progress: progress, programs: programs}
	if b.rounds, err = strconv.Atoi(rounds); err != nil || b.rounds < 1 || b.rounds%2 == 0 {
		return fmt.Errorf("ROUNDS must be an odd number, not %q", rounds)
	}
	if b.each, err = time.ParseDuration(each); err != nil {
		return err
	}
	for _, prepare := range []func(*bench, context.Context) (group, error){
		(*bench).serialCalls, (*bench).remoteCalls, (*bench).caches, (*bench).gateways,
	} {
		if err := b.one(ctx, w, prepare); err != nil {
			return err
		}
	}
	for _, p := range []string{"Erlang", "Redis"} {
		if !b.with(p) {
			fmt.Fprintf(w, "\n%s is left out: it is not installed, or only a quick run was wanted.\n", p)
		}
	}
	return nil
}

// one prepares a group, measures it, and ends its processes.
func (b *bench) one(ctx context.Context, w io.Writer, prepare func(*bench, context.Context) (group, error)) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(100*b.rounds)*b.each)
	defer cancel()
	defer b.close()
	g, err := prepare(b, ctx)
	if err == nil {
		err = b.compare(ctx, &g)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // other errors follow from it
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.title, err)
	}
	g.print(w)
	return nil
}
