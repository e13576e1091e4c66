//go:build faults && unix

package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/cmd/distproc/faults"
	"github.com/distproc/distproc/node"
)

// hiddenCommands returns the command by which package faults starts the processes of a
// run.
func hiddenCommands() []*cobra.Command {
	var m member
	cmd := &cobra.Command{
		Use:    "faults",
		Short:  "Be a process of a run of package faults",
		Hidden: true,
		Args:   noArguments,
		RunE:   func(cmd *cobra.Command, _ []string) error { return faults.Process(cmd.Context(), m.startRecorded) },
	}
	m.register(cmd.Flags(), "info")
	return []*cobra.Command{cmd}
}

// startRecorded does what distproc node does, with a configuration that record has
// changed.
func (m *member) startRecorded(record func(*node.Config) error) (*faults.Member, error) {
	ignoreBrokenPipes()
	log, flush, err := m.logger(os.Stderr)
	if err != nil {
		return nil, err
	}
	c, _, err := m.config(log)
	if err == nil {
		err = record(&c)
	}
	if err != nil {
		return nil, err
	}
	n := &running{log: log, drain: m.drain}
	if n.web, err = m.web.listen(log, m.drain); err != nil {
		return nil, err
	}
	if n.Node, err = node.Start(c); err != nil {
		return nil, err
	}
	n.web.serve(n.Node, n.ready, log)
	return &faults.Member{
		Node:  n.Node,
		Join:  func(ctx context.Context) error { return n.join(ctx, m.join) },
		Ready: n.web.config.Ready,
		Leave: func() error {
			defer flush()
			return n.leave()
		},
	}, nil
}
