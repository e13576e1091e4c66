package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A process is another one, which ends when its standard input does. So it ends with this
// one, whatever ends that.
type process struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// start starts a process. It ends with the group, or with ctx.
func (b *bench) start(ctx context.Context, env []string, program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = b.progress
	cmd.WaitDelay = 5 * time.Second // then it is killed
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = in.Close
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() {
		_ = in.Close() // the end of ctx may have closed it
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			fmt.Fprintf(b.progress, "%s: %v\n", program, err)
		}
	})
	return &process{program + " " + strings.Join(args, " "), in, bufio.NewReader(out)}, nil
}

// line returns the next line of what the process writes.
func (p *process) line() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s has ended: %w", p.name, err)
	}
	return strings.TrimSpace(line), nil
}

// serve starts a process of this program that serves, and returns its address.
func (b *bench) serve(ctx context.Context, what string, args ...string) (addr string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	p, err := b.start(ctx, nil, self, append([]string{"serve", what}, args...)...)
	if err != nil {
		return "", err
	}
	return p.line()
}

// serve is the program of a process that bench.serve starts.
func serve(w io.Writer, r io.Reader, what string, args []string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	services := map[string]func(context.Context, []string) (addr string, done func() error, err error){
		"node": serveNode, "gateway": serveGateway, "http": serveHTTP, "rpc": serveRPC,
		"groupcache": serveGroupcache, "program": serveProgram,
	}
	service, ok := services[what]
	if !ok {
		return fmt.Errorf("cannot serve %s", what)
	}
	addr, done, err := service(ctx, args)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, addr)
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	cancel()
	return done()
}

// serveProgram runs a program that listens on the address that is its first argument.
func serveProgram(ctx context.Context, args []string) (addr string, done func() error, err error) {
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	done = func() error {
		_ = cmd.Wait() // it says that the process was told to end
		return nil
	}
	for range 500 {
		if c, err := net.Dial("tcp", args[0]); err == nil {
			return args[0], done, c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = cmd.Cancel()
	return "", nil, fmt.Errorf("%s does not listen on %s: %w", args[1], args[0], cmd.Wait())
}

// freePort returns a port of loopback on which nothing listens.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
