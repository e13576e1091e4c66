package main

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

// Faults by which somebody uses a node badly. The node must bear what nobody reads of its log, and what is no peer's
// connection, so no rule is relaxed for these: see fault.trouble.

const (
	largeKind  = "large" // values of 1 MB, which no other caller asks for
	largeBytes = 1_000_000
	greedyAsks = 3000 // calls at once
	floodRate  = 300  // connections a second
	helloBytes = 58 << 10

	heapRise = 200 << 20 // bytes that a node may have in use beyond what it had before the first fault
	floodLog = 100 << 10 // bytes that a node may log in the time of a flood
)

const (
	ruleMemory rule = "a node had too much in memory"
	ruleLog    rule = "a flood of connections filled the log"
)

// large returns the kind. Its source takes a moment, so that all calls have come before the first values are there. What is
// made at a time and what is kept is bounded by the kind's owner; what waits for a reader is for the node to bound.
func large() worker.Kind {
	source := func(context.Context, worker.ID) (worker.Value, error) {
		time.Sleep(10 * time.Millisecond)
		return worker.BytesValue(strings.Repeat("x", largeBytes)), nil
	}
	return worker.Cache{Load: source, TTL: 5 * time.Second, Concurrency: 16, MaxBytes: 32 << 20}
}

// misuse uses node i badly by a process of its own, for the length of the fault, and kills that with SIGKILL. A
// greedy process that is stuck reads its answers for a quarter of the time only.
func (c *faultCluster) misuse(f plannedFault) error {
	i := f.nodes[0]
	p, err := c.startAttacker("FAULT_"+strings.ToUpper(string(f.kind))+"="+c.name(i), "FAULT_HOW="+f.how)
	if err != nil {
		return err
	}
	time.Sleep(f.length / 4)
	if f.how == "stuck" {
		err = p.Process.Signal(syscall.SIGSTOP)
	}
	time.Sleep(f.length - f.length/4)
	err = errors.Join(err, p.Process.Kill())
	_ = p.Wait() // it was killed
	return err
}

// startAttacker starts the process, where clients are, and waits until it is about to begin.
func (c *faultCluster) startAttacker(env ...string) (*exec.Cmd, error) {
	args := append(c.net.enter(0), c.binary)
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
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("%v: not ready: %w", env, err), cmd.Wait())
	}
	return cmd, nil
}

// greed attaches to a node and asks it for many large values at once: half of the time that of one id, and else those of
// many ids that are the node's own when all nodes live.
func greed(ctx context.Context, name string) error {
	var m member
	cookie, _, err := m.cookie(node.ReadCookie)
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

// annoy opens one connection.
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

// checkHostile checks that nodes bear what is done to them.
func (r *report) checkHostile() {
	h := r.history
	if len(h.Faults) < 2 {
		return
	}
	_, before, _ := h.atFirst()
	for _, p := range h.Processes {
		if p.Node == 0 {
			continue
		}
		r.PeakRSS = max(r.PeakRSS, p.Peak)
		for _, s := range p.Sizes {
			r.PeakHeap = max(r.PeakHeap, s.Heap)
			if s.Heap > before+heapRise {
				r.violate(ruleMemory, "%v node %d: %d MiB in use, at first at most %d", s.At, p.Node, s.Heap>>20, before>>20)
			}
		}
	}
	for _, f := range h.Faults {
		if f.Kind != faultFlood {
			continue
		}
		r.FloodLog = max(r.FloodLog, f.Logged)
		if f.Logged >= floodLog {
			r.violate(ruleLog, "%v node %v: %d bytes in %v", f.Begin, f.Nodes, f.Logged, f.End-f.Begin)
		}
	}
}
