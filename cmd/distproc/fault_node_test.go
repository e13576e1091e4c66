package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A node of the fault harness is this test binary under the name distproc-fault. It has the flags, signals, cookie
// and leave-taking of distproc node, but the source of its workers puts every run on record, and it calls as a service
// would that has a node within. With FAULT_ATTACH in the environment it is no node but holds clients of nodes, and with
// FAULT_GREEDY or FAULT_FLOOD it uses a node badly.

const (
	faultTTL   = 150 * time.Millisecond
	faultIDs   = 30               // ids in use
	hotIDs     = 3                // that get half of the calls
	nodeRate   = 50               // pairs of calls a second by each node
	clientRate = 4                // by each client
	noAnswer   = 10 * time.Second // after which a call is on record as lost
)

// faultNode is the main function of distproc-fault.
func faultNode() {
	ctx, stop := withSignals(context.Background())
	defer stop()
	if err := runFaultNode(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "distproc-fault:", err)
		os.Exit(1)
	}
}

func runFaultNode(ctx context.Context) error {
	bursts := make(chan struct{})
	go func() { // end with the test, however that ends
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			bursts <- struct{}{}
		}
		os.Exit(3)
	}()
	switch how := os.Getenv("FAULT_HOW"); {
	case os.Getenv("FAULT_GREEDY") != "":
		return greed(ctx, os.Getenv("FAULT_GREEDY"))
	case os.Getenv("FAULT_FLOOD") != "":
		return flood(ctx, os.Getenv("FAULT_FLOOD"), how)
	}
	var process, base int64
	if _, err := fmt.Sscan(os.Getenv("FAULT_PROCESS")+" "+os.Getenv("FAULT_BASE"), &process, &base); err != nil {
		return err
	}
	file, err := os.OpenFile(os.Getenv("FAULT_RECORD"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	r := &recorder{file: file, base: time.Duration(base), bursts: bursts}
	r.number.Store(process << 32)
	ctx, cancel := context.WithCancel(ctx)
	r.wg.Go(func() { r.watchStalls(ctx) })
	r.wg.Go(func() { r.watchSize(ctx) })
	defer r.wg.Wait()
	defer cancel()
	if names := os.Getenv("FAULT_ATTACH"); names != "" {
		return r.attach(ctx, strings.Fields(names))
	}
	return r.serve(ctx, os.Args[2:])
}

// serve is runNode with the recording source and calls.
func (r *recorder) serve(ctx context.Context, args []string) error {
	var m member
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	m.register(flags, "info")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ignoreBrokenPipes()
	log, flush, err := m.logger(os.Stderr)
	if err != nil {
		return err
	}
	defer flush()
	c, _, err := m.config(log)
	if err != nil {
		return err
	}
	def := c.Default.(worker.Cache)
	def.Load = r.source
	c.Default = def
	c.Kinds = map[string]worker.Kind{serialKind: r.serial(), largeKind: large()}
	kind, hasPrograms, err := programs(m.name)
	if err != nil {
		return err
	}
	if hasPrograms {
		c.Kinds[programKind] = kind
	}
	n := &running{log: log, drain: m.drain}
	if n.web, err = m.web.listen(log, m.drain); err != nil {
		return err
	}
	if n.Node, err = node.Start(c); err != nil {
		return err
	}
	n.web.serve(n.Node, log)
	fmt.Println("ready")
	r.wg.Go(func() { _ = n.join(ctx, m.join) })
	r.wg.Go(func() { awaitReady(ctx, n.web) })
	r.wg.Go(func() { r.watchView(ctx, n.Node) })
	r.wg.Go(func() { r.load(ctx, nodeRate, faultIDs, r.ask(callEntry{}, n.Request)) })
	send := r.send(callEntry{}, n.Family(serialKind))
	r.wg.Go(func() { r.load(ctx, serialNodeRate, serialIDs, send) })
	r.wg.Go(func() { r.burst(ctx, send) })
	if hasPrograms {
		r.wg.Go(func() { r.load(ctx, programRate, programIDs, r.sendToProgram(n.Family(programKind))) })
	}
	<-ctx.Done()
	return n.leave()
}

// awaitReady says when /readyz is content for the first time.
func awaitReady(ctx context.Context, web *webServer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	every(ctx, 20*time.Millisecond, func() {
		if web.config.Ready(ctx) == nil {
			fmt.Println("joined")
			cancel()
		}
	})
}

// burst makes many calls for each serial id whenever the test asks for that.
func (r *recorder) burst(ctx context.Context, send func(id int64)) {
	for {
		select {
		case <-r.bursts:
		case <-ctx.Done():
			return
		}
		for i := range int64(burstSize * serialIDs) {
			r.wg.Go(func() { send(i % serialIDs) })
		}
	}
}

// attach calls through clients of the named nodes, which are 1, 2 and so on.
func (r *recorder) attach(ctx context.Context, names []string) error {
	var m member
	cookie, _, err := m.cookie(node.ReadCookie)
	if err != nil {
		return err
	}
	for i, name := range names {
		for _, by := range []callerKind{plainClient, directClient} {
			c, err := node.Attach(ctx, node.ClientConfig{Node: name, Cookie: cookie, Direct: by == directClient})
			if err != nil {
				return err
			}
			defer c.Close()
			call := callEntry{Via: i + 1, By: by}
			r.wg.Go(func() { r.load(ctx, clientRate, faultIDs, r.ask(call, c.Request)) })
			r.wg.Go(func() { r.load(ctx, serialClientRate, serialIDs, r.send(call, c.Family(serialKind))) })
		}
	}
	r.browse(ctx, names)
	fmt.Println("ready")
	<-ctx.Done()
	r.wg.Wait() // before the clients close
	return nil
}

// source works for 1 to 30 ms, and takes a moment to notice that nobody waits any more.
func (r *recorder) source(ctx context.Context, id worker.ID) (worker.Value, error) {
	number, err := strconv.ParseInt(id.String(), 10, 64)
	if err != nil {
		return worker.Value{}, err
	}
	run := runEntry{Number: r.number.Add(1), ID: number, span: span{Begin: r.now()}}
	r.write(entry{Run: &run})
	select {
	case <-time.After(time.Millisecond + rand.N(29*time.Millisecond)):
	case <-ctx.Done():
		time.Sleep(rand.N(5 * time.Millisecond))
		run.Failed, err = true, ctx.Err()
	}
	run.End = r.now()
	r.write(entry{Run: &run})
	return worker.IntValue(run.Number), err
}

type requester func(context.Context, worker.ID) (worker.Reply, error)

// ask returns what requests the value of an id.
func (r *recorder) ask(c callEntry, request requester) func(id int64) {
	return func(id int64) {
		call := c
		call.ID = id
		r.call(call, request)
	}
}

// load calls at a steady rate, whatever becomes of the calls: two at a time for the same id, because those are
// what single flight is for, and a queue.
func (r *recorder) load(ctx context.Context, rate int, ids int64, call func(id int64)) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		id := rand.Int64N(ids)
		if rand.IntN(2) == 0 {
			id %= hotIDs
		}
		for range 2 {
			r.wg.Go(func() { call(id) })
		}
	}
}

// call does c and puts it on record.
func (r *recorder) call(c callEntry, request requester) {
	c.Brief, c.Begin = rand.IntN(16) == 0, r.now()
	ctx := context.Background()
	if c.Brief {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*time.Millisecond+rand.N(30*time.Millisecond))
		defer cancel()
	}
	lost := c
	watch := time.AfterFunc(noAnswer, func() {
		lost.End, lost.Err = r.now(), "no answer, and no error"
		r.write(entry{Call: &lost})
	})
	reply, err := request(ctx, worker.IntID(c.ID))
	watch.Stop()
	c.End = r.now()
	if err != nil {
		c.Err, c.Outcome = fmt.Sprintf("%v (%s)", err, outcomeOf(err)), outcomeOf(err)
	} else {
		c.Value, _ = reply.Value.Int()
		c.Node = nodeNumber(reply.Node)
		c.Age, c.Cached, c.Degraded = reply.Age, reply.Cached, reply.Degraded
	}
	r.write(entry{Call: &c})
}

// nodeNumber returns 3 for 3@HOST.
func nodeNumber(name string) int {
	digits, _, _ := strings.Cut(name, "@")
	n, _ := strconv.Atoi(digits)
	return n
}
