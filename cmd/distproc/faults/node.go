//go:build unix

package faults

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

const (
	faultTTL = 150 * time.Millisecond
	faultIDs = 30               // ids in use
	hotIDs   = 3                // that get half of the calls
	nodeRate = 50               // pairs of calls a second by each node
	noAnswer = 10 * time.Second // after which a call is on record as lost

	orphaned = 3 // exit status of a process whose run has ended
)

// A Member is a running node of the program under test.
type Member struct {
	*node.Node
	Join  func(context.Context) error // joins the nodes that the command line names
	Ready func(context.Context) error // returns nil as soon as /readyz says that the node is ready
	Leave func() error                // ends the node as SIGTERM does
}

// A Starter starts the node that the command line of this process asks for. It calls
// record first, which changes the node's configuration.
type Starter func(record func(*node.Config) error) (*Member, error)

// Process is what the program under test does as a process of a run. It is a node with
// the flags, signals, cookie and leave-taking of the program; what answers its calls puts
// every run on record, and it calls as a service does that has a node within. With
// FAULT_ATTACH in the environment it holds clients of nodes instead, and with
// FAULT_GREEDY or FAULT_FLOOD it uses a node badly. It returns when ctx ends, and ends
// the process when the run is gone.
func Process(ctx context.Context, start Starter) error {
	bursts := make(chan struct{})
	go func() { // ends the process with the run, however that ends
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			bursts <- struct{}{}
		}
		os.Exit(orphaned)
	}()
	if name := os.Getenv("FAULT_GREEDY"); name != "" {
		return greed(ctx, name)
	}
	if name := os.Getenv("FAULT_FLOOD"); name != "" {
		return flood(ctx, name, os.Getenv("FAULT_HOW"))
	}
	r, err := openRecord(bursts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r.wg.Go(func() { r.watchStalls(ctx) })
	r.wg.Go(func() { r.watchSize(ctx) })
	defer r.wg.Wait()
	defer cancel()
	if names := os.Getenv("FAULT_ATTACH"); names != "" {
		return r.attach(ctx, strings.Fields(names))
	}
	return r.serve(ctx, start)
}

// serve runs a node with what records its runs, and makes its calls.
func (r *recorder) serve(ctx context.Context, start Starter) error {
	n, err := start(r.configure)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	r.wg.Go(func() { _ = n.Join(ctx) })
	r.wg.Go(func() { awaitReady(ctx, n) })
	r.wg.Go(func() { r.watchView(ctx, n.Node) })
	if len(strictKindsOfRun()) > 0 {
		r.callStrict(ctx, 0, strictCall{Node: nodeNumber(n.Self())}, sendTo(n.Family))
		<-ctx.Done()
		return n.Leave()
	}
	r.wg.Go(func() { r.load(ctx, nodeRate, faultIDs, r.ask(callEntry{}, n.Request)) })
	send := r.send(callEntry{}, n.Family(serialKind))
	r.wg.Go(func() { r.load(ctx, serialNodeRate, serialIDs, send) })
	r.wg.Go(func() { r.burst(ctx, send) })
	if hasFlock() {
		r.wg.Go(func() { r.load(ctx, programRate, programIDs, r.sendToProgram(n.Family(programKind))) })
	}
	<-ctx.Done()
	return n.Leave()
}

// configure has the node answer by what puts its runs on record.
func (r *recorder) configure(c *node.Config) (err error) {
	def, _ := c.Default.(worker.Cache)
	def.Load = r.source
	c.Default = def
	if addr := os.Getenv("FAULT_RESOURCE"); addr != "" {
		c.Kinds, err = r.strictKinds(c.Name, addr)
		return err
	}
	c.Kinds = map[string]worker.Kind{serialKind: r.serial(), largeKind: large()}
	if hasFlock() {
		c.Kinds[programKind], err = programs(c.Name)
	}
	return err
}

// awaitReady says when the node is ready for the first time.
func awaitReady(ctx context.Context, n *Member) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	every(ctx, 20*time.Millisecond, func() {
		if n.Ready(ctx) == nil {
			fmt.Println("joined")
			cancel()
		}
	})
}

// burst makes many calls for each serial id whenever the run asks for that.
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

// source works for 1 to 30 ms, and takes a moment to notice that its context has ended.
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

// ask returns a function that requests the value of an id.
func (r *recorder) ask(c callEntry, request requester) func(id int64) {
	return func(id int64) {
		call := c
		call.ID = id
		r.call(call, request)
	}
}

// load calls at a steady rate, whatever becomes of the calls: two at a time for the same
// id, because that is what single flight and queues are for.
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
