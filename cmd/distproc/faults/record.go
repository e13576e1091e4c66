//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// The record of a process is a file with a line for each entry. Each line is one write,
// so kill -9 loses no earlier one.

const stallAfter = 60 * time.Millisecond // a process that is silent for longer did not run

// An entry is one line of a record. It has one of these fields; Size comes with Peak.
type entry struct {
	Run    *runEntry    `json:",omitempty"`
	Server *serverEntry `json:",omitempty"`
	Served *servedEntry `json:",omitempty"`
	Call   *callEntry   `json:",omitempty"`
	View   *viewEntry   `json:",omitempty"`
	Size   *sizeEntry   `json:",omitempty"`
	Peak   uint64       `json:",omitempty"` // of the process's memory until now, in bytes
	Stall  *span        `json:",omitempty"`

	Program *programEntry `json:",omitempty"` // the program itself writes it

	StrictCall *strictCall `json:",omitempty"`
	StrictRun  *strictRun  `json:",omitempty"`
	Write      *writeEntry `json:",omitempty"`
}

// A span is a time on CLOCK_MONOTONIC, which all processes of a machine share.
type span struct{ Begin, End time.Duration }

// A runEntry is a run of the source: written when it begins, without End, and again when
// it ends. Its number, which is its value too, is unique among all processes.
type runEntry struct {
	Number, ID int64
	span
	Failed bool `json:",omitempty"`
}

// A callEntry is a call that has ended.
type callEntry struct {
	ID int64
	span
	Via      int            `json:",omitempty"` // the node that a client asked; 0 for a call of the process's own node
	By       callerKind     `json:",omitempty"` // what the client is
	Message  int64          `json:",omitempty"` // to a server; 0 for a request
	Brief    bool           `json:",omitempty"` // the caller's deadline is soon
	Err      string         `json:",omitempty"`
	Outcome  worker.Outcome `json:",omitempty"` // of one that failed
	Value    int64          `json:",omitempty"`
	Node     int            `json:",omitempty"` // that answered
	Age      time.Duration  `json:",omitempty"`
	Cached   bool           `json:",omitempty"`
	Degraded bool           `json:",omitempty"`
}

// hurried reports whether a call failed only because its caller's deadline was soon.
func (c *callEntry) hurried() bool {
	return c.Brief && (strings.Contains(c.Err, "deadline exceeded") || strings.Contains(c.Err, "no answer yet"))
}

// A viewEntry is a node's view of the cluster from a time on.
type viewEntry struct {
	At   time.Duration
	Text string
}

// A sizeEntry is what a process uses after a garbage collection.
type sizeEntry struct {
	At         time.Duration
	Goroutines int
	Heap       uint64
	Files      int `json:",omitempty"` // that are open, sockets included; 0 without /proc
}

// monotonic returns the time on the clock of all records.
func monotonic() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// A recorder writes the record of one process.
type recorder struct {
	file   *os.File
	base   time.Duration // when the harness began
	number atomic.Int64  // of the last run
	bursts chan struct{} // each asks for one of messages
	wg     sync.WaitGroup
}

// openRecord opens the record that the environment names.
func openRecord(bursts chan struct{}) (*recorder, error) {
	var process, base int64
	if _, err := fmt.Sscan(os.Getenv("FAULT_PROCESS")+" "+os.Getenv("FAULT_BASE"), &process, &base); err != nil {
		return nil, fmt.Errorf("this process is for package faults to start: %w", err)
	}
	file, err := os.OpenFile(os.Getenv("FAULT_RECORD"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	r := &recorder{file: file, base: time.Duration(base), bursts: bursts}
	r.number.Store(process << 32)
	return r, nil
}

func (r *recorder) now() time.Duration { return monotonic() - r.base }

func (r *recorder) write(e entry) {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(err)
	}
}

// every calls f at intervals until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// watchStalls records the times at which the process did not run: it was paused, or the
// machine was busy.
func (r *recorder) watchStalls(ctx context.Context) {
	last := r.now()
	every(ctx, 20*time.Millisecond, func() {
		now := r.now()
		if now-last > stallAfter {
			r.write(entry{Stall: &span{last, now}})
		}
		last = now
	})
}

// watchSize records the size every second, and at once when the heap has become much
// larger.
func (r *recorder) watchSize(ctx context.Context) {
	const rise = 32 << 20 // bytes
	n, last := 0, uint64(0)
	every(ctx, 50*time.Millisecond, func() {
		if n++; n%20 == 1 || readMetric("/memory/classes/heap/objects:bytes") > last+rise {
			last = heapInUse()
			r.write(entry{Size: &sizeEntry{r.now(), runtime.NumGoroutine(), last, openFiles()}, Peak: peakRSS()})
		}
	})
}

// heapInUse returns the bytes that a garbage collection finds in use. It subtracts those
// allocated during the collection, which count as in use even if they are garbage.
func heapInUse() uint64 {
	const allocated = "/gc/heap/allocs:bytes"
	before := readMetric(allocated)
	runtime.GC()
	live, meanwhile := readMetric("/gc/heap/live:bytes"), readMetric(allocated)-before
	return live - min(live, meanwhile)
}

func readMetric(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// peakRSS returns how many bytes of memory the process has had at most, or 0 without
// /proc.
func peakRSS() uint64 {
	self, err := procfs.Self()
	if err != nil {
		return 0
	}
	status, _ := self.NewStatus()
	return status.VmHWM
}

// openFiles returns how many files and sockets the process has open, or 0 without /proc.
func openFiles() int {
	self, err := procfs.Self()
	if err != nil {
		return 0
	}
	n, _ := self.FileDescriptorsLen()
	return n
}

func (r *recorder) watchView(ctx context.Context, n *node.Node) {
	last := ""
	every(ctx, 50*time.Millisecond, func() {
		if text := viewOf(ctx, n); text != last && ctx.Err() == nil {
			last = text
			r.write(entry{View: &viewEntry{r.now(), text}})
		}
	})
}

// viewOf returns a node's view of the cluster as one line.
func viewOf(ctx context.Context, n *node.Node) string {
	members, err := n.Members(ctx)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for id := range int64(100) { // one of the first ids is its own, and is explained without a message
		if owner, err := n.Owner(ctx, worker.IntID(id)); err != nil || owner != n.Self() {
			continue
		}
		why, err := n.Why(ctx, worker.IntID(id))
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "epoch %016x", why.Epoch)
		break
	}
	for _, m := range members {
		fmt.Fprintf(&b, ", %d %s %x", nodeNumber(m.Name), m.State, m.Incarnation)
	}
	return b.String()
}
