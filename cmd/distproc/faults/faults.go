//go:build unix

// Package faults runs a cluster of five real nodes of distproc under load, strikes it
// with faults that follow from a seed, and checks what the processes recorded against
// rules that must hold.
//
// A run goes this way. [Run] draws a plan of faults (plan.go), starts a process for each
// node and one for all clients (cluster.go, process.go), and strikes them: by signals, by
// breaking the network between them (network.go, partition.go, twin.go), or by clients
// that use a node badly (misuse.go). Each process is the program under test, whose hidden
// command calls [Process]: a node with a source, servers and programs that record what
// they run (node.go, server.go, program.go), or clients (clients.go). It writes its
// record to a file (record.go). The records together are the history of the run
// (history.go). The checker is a pure function from a history to a [Report] (report.go,
// rules*.go).
//
// The program is distproc, built with the tag faults:
//
//	go build -tags faults -o PROGRAM ./cmd/distproc
//
// The tests of this package build it themselves. Without flags they run no cluster. For
// an hour of faults, with the records and logs of all processes kept in DIR:
//
//	go test ./cmd/distproc/faults -run TestFaults$ -v -faults.for 60m -timeout 2h -artifacts -outputdir DIR
//
// A run of strict kinds has other faults (strict_plan.go, strict_strike.go), which may
// befall the node that leads the voters. Its servers and callers (strict_server.go)
// change numbers of a resource outside of the nodes (resource.go). Its rules
// (rules_strict.go) include that the calls of an id are linearizable (linear.go), and its
// report has how long each fault kept calls from running (takeover.go). For an hour of
// that:
//
//	go test ./cmd/distproc/faults -run TestFaultsStrict$ -v -faults.strict 60m -timeout 2h
//
// Mutants (mutants_test.go) are distproc with one thing broken. They show that the rules
// find what they are for.
package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// A Config says what a run does.
type Config struct {
	Program string   // path of distproc, built with the tag faults
	Env     []string // of its processes, besides that of this one

	// Dir is the folder for the records and logs of all processes.
	Dir string

	// Seed decides which faults strike, and when.
	Seed uint64

	// Length is how long the run takes, about. It takes some 40 s at least: for some
	// faults, one more that has the cluster for itself, and calm after each.
	Length time.Duration

	// Only lists the kinds of faults to choose from, such as kill and pause. Empty means
	// all that the network allows; see [Kinds].
	Only []string

	// Host is the loopback address of all nodes, which must not be in use. The default
	// follows from the number of this process.
	Host string

	// Strict has calls of strict kinds only, and other faults, which come one after the
	// other as a rule. It takes Namespaces. The first three nodes are voters.
	Strict bool

	// Timing is that of strict kinds: local, lan or wan.
	Timing string

	// Namespaces puts each node in a network namespace of its own, so that the cluster
	// can be partitioned. That takes Linux and root.
	Namespaces bool
}

// Kinds returns the kinds of faults in a network with or without namespaces.
func Kinds(namespaces bool) (names []string) {
	mixed, solo := kinds(namespaces)
	for _, k := range slices.Concat(mixed, solo) {
		if !slices.Contains(names, string(k)) {
			names = append(names, string(k))
		}
	}
	return names
}

func kinds(namespaces bool) (mixed, solo []faultKind) {
	mixed, solo = slices.Concat(processFaults, hostileFaults), soloFaults
	if namespaces {
		mixed, solo = slices.Concat(mixed, partitionFaults), slices.Concat(solo, soloPartitionFaults)
	}
	return mixed, solo
}

// Run runs a cluster as c says until its last fault has been over for a while, or ctx
// ends. Rules that were broken are in the report. The error tells why there is no report,
// or that the run itself did not go as it should: a node did not start or end in time. It
// is [errors.ErrUnsupported] where namespaces are not permitted.
func Run(ctx context.Context, c Config) (*Report, error) {
	r := run{program: c.Program, env: c.Env, dir: c.Dir, rest: settleTime + calmTime}
	mixed, solo := kinds(c.Namespaces)
	for _, name := range c.Only {
		if all := slices.Concat(mixed, solo); !slices.Contains(all, faultKind(name)) {
			return nil, fmt.Errorf("no faults of kind %q; say one of %s", name, strings.Join(Kinds(c.Namespaces), ", "))
		}
	}
	stream := uint64(0)
	if c.Namespaces {
		net, err := newNamespaces()
		if err != nil {
			return nil, err
		}
		defer net.Close()
		r.net, stream = net, 1
	} else {
		if c.Host == "" {
			c.Host = fmt.Sprintf("127.%d.%d.1", 1+os.Getpid()%250, os.Getpid()/250%250)
		}
		net, err := newLoopback(c.Host)
		if err != nil {
			return nil, err
		}
		r.net = net
	}
	rng := rand.New(rand.NewPCG(c.Seed, stream))
	if c.Strict {
		r.strict, r.timing = []string{counterKind, registerKind}, c.Timing
		r.episodes = strictEpisodes(rng, leases[c.Timing], c.Length)
		return r.report(ctx)
	}
	mixed, solo = chosen(mixed, c.Only), chosen(solo, c.Only)
	r.episodes = episodes(rng, mixed, solo, c.Length)
	return r.report(ctx)
}

// report runs the cluster and checks what happened.
func (r run) report(ctx context.Context) (*Report, error) {
	h, err := play(ctx, r)
	if h == nil {
		return nil, err
	}
	report := check(h)
	return report, errors.Join(err, ctx.Err())
}

// chosen returns those of the kinds that names has, or all if names is empty.
func chosen(kinds []faultKind, names []string) []faultKind {
	if len(names) == 0 {
		return kinds
	}
	return slices.DeleteFunc(slices.Clone(kinds), func(k faultKind) bool { return !slices.Contains(names, string(k)) })
}
