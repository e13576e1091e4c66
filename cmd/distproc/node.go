package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

func nodeCommand() *cobra.Command {
	var m member
	cmd := &cobra.Command{
		Use:     "node --name NAME@HOST",
		Short:   "Run a headless node until SIGINT or SIGTERM, or until its terminal hangs up",
		Example: "  distproc node --name 2@127.0.0.1 --join 1@127.0.0.1",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runNode(cmd.Context(), &m) },
	}
	m.register(cmd.Flags(), "info")
	return cmd
}

func runNode(ctx context.Context, m *member) error {
	if m.name == "" {
		return usagef("distproc node: pass --name NAME@HOST, such as --name 2@127.0.0.1")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	ignoreBrokenPipes()
	log, flush, err := m.logger(os.Stderr)
	if err != nil {
		return err
	}
	defer flush()
	ctx, hangups, release := watchHangups(ctx)
	defer release()
	n, err := m.start(log)
	if err != nil {
		return err
	}
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	var wg sync.WaitGroup
	var joinErr, rankErr error
	wg.Go(func() {
		if err := n.join(ctx, m.join); err != nil && ctx.Err() == nil { // refused for good
			joinErr = err
			refuse(err)
		}
	})
	manager := startService(n)
	wg.Go(func() { manager.run(ctx) })
	wg.Go(func() { m.reload(ctx, n, hangups, n.Logger()) })
	wg.Go(func() {
		select {
		case <-n.Displaced():
			rankErr = fmt.Errorf("an older node has the name %s; choose another --name", n.Self())
			refuse(rankErr)
		case <-ctx.Done():
		}
	})
	<-ctx.Done()
	stop() // a second signal ends the process at once
	wg.Wait()
	manager.stopping()
	return cmp.Or(joinErr, rankErr, n.leave())
}

// ignoreBrokenPipes has a write to stderr whose reader is gone fail, where it would end
// the process. What it runs still ends by SIGPIPE, which it would not if the signal were
// ignored.
func ignoreBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
