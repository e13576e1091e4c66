//go:build unix

package faults

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// Faults by which a client uses a node badly, or a stranger floods it with connections.
// The node must bear them, so no rule is relaxed for these; see fault.trouble.

const (
	largeKind  = "large" // values of 1 MB, which no other caller asks for
	largeBytes = 1_000_000
	greedyAsks = 3000 // calls at once
	floodRate  = 300  // connections a second
	helloBytes = 58 << 10
)

// large returns the kind. Its source takes a moment, so that all calls have come before
// the first values are there. The kind bounds how many are made at a time and kept. The
// node must bound the answers that wait for a reader.
func large() worker.Kind {
	source := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(10 * time.Millisecond)
		return worker.BytesValue(strings.Repeat("x", largeBytes)), nil
	}
	return worker.Cache{Load: source, TTL: 5 * time.Second, Concurrency: 16, MaxBytes: 32 << 20}
}

// misuse uses a node badly by a process of its own, for the length of the fault, and
// kills that with SIGKILL. A greedy process that is stuck reads its answers for a quarter
// of the time only.
func (c *cluster) misuse(f plannedFault) error {
	i := f.nodes[0]
	p, err := c.startAttacker("FAULT_"+strings.ToUpper(string(f.kind))+"="+c.name(i), "FAULT_HOW="+f.how)
	if err != nil {
		return err
	}
	c.sleep(f.length / 4)
	if f.how == "stuck" {
		err = p.Process.Signal(syscall.SIGSTOP)
	}
	c.sleep(f.length - f.length/4)
	err = errors.Join(err, p.Process.Kill())
	_ = p.Wait() // it was killed
	return err
}

// startAttacker starts the process where clients are, and waits until it is about to
// begin.
func (c *cluster) startAttacker(env ...string) (*exec.Cmd, error) {
	args := append(c.net.enter(0), c.program, command)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = slices.Concat(os.Environ(), []string{faultCookie, "HOME=" + c.dir}, env)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("%v: not ready: %w", env, err), cmd.Process.Kill(), cmd.Wait())
	}
	return cmd, nil
}

// greed attaches to a node and asks it for many large values at once: half of them of one
// id, the others of many ids that are the node's own when all nodes live.
func greed(ctx context.Context, name string) error {
	cookie, err := cookieOfRun()
	if err != nil {
		return err
	}
	c, err := node.Attach(ctx, node.ClientConfig{Node: name, Cookie: cookie})
	if err != nil {
		return err
	}
	defer c.Close()
	ready := sync.OnceFunc(func() { fmt.Println("ready") }) // it has asked
	for i := range int64(greedyAsks) {
		id := int64(0)
		if i%2 != 0 {
			id = int64(nodeNumber(name)-1) + i*faultNodes
		}
		go func() { // until the process is killed
			_, _ = c.Family(largeKind).Request(ctx, worker.IntID(id))
			ready()
		}()
	}
	<-ctx.Done()
	return nil
}

// flood opens connections to a node and keeps them for as long as the node does.
func flood(ctx context.Context, name, how string) error {
	addr, err := placement.ParseAddr(name)
	if err != nil {
		return err
	}
	to := net.JoinHostPort(addr.Host, fmt.Sprint(4370+nodeNumber(name)))
	fmt.Println("ready")
	every(ctx, time.Second/floodRate, func() { go annoy(ctx, to, how) }) // until the process is killed
	return nil
}

// annoy opens one connection, says what how asks for, and keeps it.
func annoy(ctx context.Context, to, how string) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer conn.Close()
	switch how {
	case "garbage":
		garbage := make([]byte, 1<<10)
		_, _ = rand.Read(garbage)
		_, _ = conn.Write(garbage)
	case "hello":
		const length = 250
		names := slices.Repeat([]string{strings.Repeat("x", length)}, helloBytes/(length+1))
		_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: names}).HandshakeContext(ctx)
	}
	_, _ = io.Copy(io.Discard, conn)
}
