package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed peers.erl
var module []byte

// erlang measures calls to a gen_server, of another node if there says so. The callers
// run in a node of Erlang, which is told what to do by its standard input.
func (b *bench) erlang(ctx context.Context, there bool) (contender, error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return contender{}, err
	}
	b.closers = append(b.closers, func() { _ = os.RemoveAll(dir) })
	source := filepath.Join(dir, "peers.erl")
	if err := os.WriteFile(source, module, 0o600); err != nil {
		return contender{}, err
	}
	if out, err := exec.CommandContext(ctx, "erlc", "-o", dir, source).CombinedOutput(); err != nil {
		return contender{}, fmt.Errorf("erlc: %w\n%s", err, out)
	}
	epmd := ""
	if there {
		if epmd, err = b.epmd(ctx); err != nil {
			return contender{}, err
		}
	}
	caller, err := b.erl(ctx, dir, "caller", epmd)
	if err != nil {
		return contender{}, err
	}
	server := caller
	if there {
		if server, err = b.erl(ctx, dir, "server", epmd); err != nil {
			return contender{}, err
		}
	}
	node, err := server.command("serve %d", keys)
	if err != nil {
		return contender{}, err
	}
	if _, err := caller.command("use %s", node); err != nil {
		return contender{}, err
	}
	rate := func(_ context.Context, l load, d time.Duration) (float64, error) {
		line, err := caller.command("rate %d %d %d", l.callers, l.ids, d.Milliseconds())
		if err != nil {
			return 0, err
		}
		var calls, micros float64
		_, err = fmt.Sscan(line, &calls, &micros)
		return calls / micros * 1e6, err
	}
	return contender{name: "Erlang's `gen_server:call`", rate: rate}, nil
}

// epmd starts Erlang's port mapper and returns its port, which is its own, so that no
// other one is in use and none stays behind.
func (b *bench) epmd(ctx context.Context) (port string, err error) {
	if port, err = freePort(); err != nil {
		return "", err
	}
	_, err = b.serve(ctx, "program", "127.0.0.1:"+port, "epmd", "-address", "127.0.0.1", "-port", port)
	return port, err
}

// erl starts a node of Erlang, which other nodes can reach if it has an epmd.
func (b *bench) erl(ctx context.Context, dir, name, epmd string) (*process, error) {
	args := []string{"-noshell", "+Bd", "-pa", dir, "-s", "peers", "main"}
	if epmd != "" {
		args = append(args, "-name", name+"@127.0.0.1", "-setcookie", filepath.Base(dir), "-start_epmd", "false",
			"-kernel", "inet_dist_use_interface", "{127,0,0,1}")
	}
	return b.start(ctx, []string{"HOME=" + dir, "ERL_CRASH_DUMP_SECONDS=0", "ERL_EPMD_PORT=" + epmd}, "erl", args...)
}

// command sends a command and returns the line that is its answer.
func (p *process) command(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return "", err
	}
	return p.line()
}
