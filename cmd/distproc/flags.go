package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/file"
)

// connection holds the flags of everything that talks to nodes.
type connection struct {
	cookieFile string
	tls        node.TLSFiles
	busyPoll   bool
	flags      *pflag.FlagSet
}

func (c *connection) register(f *pflag.FlagSet) {
	c.flags = f
	f.StringVar(&c.cookieFile, "cookie-file", "", "`FILE` with the cluster's secret, 16 bytes or more, on a line; a node proves the first line and accepts all, and makes the file if there is none (default distproc/cookie in the user's config folder)")
	f.StringVar(&c.tls.Cert, "tls-cert", "", "PEM file: this node's certificate, for mutual TLS besides the cookie")
	f.StringVar(&c.tls.Key, "tls-key", "", "PEM file: its key")
	f.StringVar(&c.tls.CA, "tls-ca", "", "PEM file: the CA of all nodes")
	f.BoolVar(&c.tls.VerifyName, "tls-verify-name", false, "with mutual TLS, demand that a node's certificate has its HOST, or NAME@HOST as an e-mail address, among its alternative names")
	f.BoolVar(&c.busyPoll, "busy-poll", true, "while many messages come from one peer, look for the next one again and again before sleeping, on at most one core; a process with less than a core, or with a single processor, never does")
}

// check refuses flags that make no sense together.
func (c *connection) check() error {
	if t := c.tls; t.VerifyName && t.Cert == "" && t.Key == "" && t.CA == "" {
		return usagef("--tls-verify-name: there is no certificate to verify without mutual TLS; pass --tls-cert, --tls-key and --tls-ca")
	}
	return nil
}

// member holds the flags of everything that is a node.
type member struct {
	connection
	name      string
	port      int
	listen    string
	advertise string
	join      joinList
	ttl       duration
	source    string
	kinds     string   // file
	inFile    []string // names of the kinds in it when the node started
	routing   string
	timing    string
	reapAfter duration
	maxMemory size
	clients   int
	voters    []string
	dataDir   string
	drain     time.Duration
	logLevel  string
	logFormat string
	logFrom   slog.LevelVar // the level that is logged now
	web       web
	def       worker.Kind // the default one

	shellCookie []byte // what a shell on this node proves, instead of the cluster's cookie
	shellTLS    func() // has that shell read the files of TLS again; or nil
}

func (m *member) register(f *pflag.FlagSet, level string) {
	m.connection.register(f)
	f.StringVar(&m.name, "name", "", "this node's `NAME@HOST`, such as 1@127.0.0.1; with :PORT to listen elsewhere than on the port that follows from NAME")
	f.IntVar(&m.port, "port", 0, "the port of this node, instead of the one that follows from NAME")
	f.StringVar(&m.listen, "listen", "", "`ADDR[:PORT]` to listen on, such as 0.0.0.0 behind NAT (default HOST, or all addresses if HOST is a DNS name with several addresses of this machine or none)")
	f.StringVar(&m.advertise, "advertise", "", "`HOST[:PORT]` at which others reach this node, such as a published port (default HOST and the port of the node)")
	f.Var(&m.join, "join", "connect to one of these `NAMES`, each NAME@HOST or HOST:PORT, or of what dns:HOST[:PORT], srv:NAME, file:PATH or exec:COMMAND names, and keep trying all that are no members")
	m.ttl, m.reapAfter = duration(5*time.Second), duration(10*time.Minute)
	f.Var(&m.ttl, "ttl", "how long a worker lives, and its answer with it; or forever")
	f.StringVar(&m.source, "source", "random", "where the value of an id comes from: random, exec:PROGRAM ARGS with {id} among them, or an http(s) address with {id} in it")
	f.StringVar(&m.kinds, "config", "", "TOML `FILE` with kinds of workers: [kind.NAME]; at SIGHUP it is read again, and applied when it has been the same for a second")
	f.StringVar(&m.routing, "routing", placement.Modulo.String(), "how to choose the owner of an id: modulo or rendezvous; the same on all nodes")
	f.StringVar(&m.timing, "timing", "", "how soon all see a crash: local (2 s, and leases of strict kinds of 2 s), lan (6 s, leases of 5 s) or wan (20 s, leases of 15 s) (default local if HOST is a loopback address, else lan)")
	f.Var(&m.reapAfter, "reap-after", "how long a member that has failed keeps its slot; or forever")
	f.Var(&m.maxMemory, "max-memory", "memory that values may take before the least recently used ones go, such as 512MiB (default a quarter of what the machine or the cgroup has)")
	f.IntVar(&m.clients, "max-clients", 1024, "shells and other clients that may be attached at a time, besides the shell of repl --name")
	f.StringSliceVar(&m.voters, "voters", nil, "the `NAMES` of the 1, 3 or 5 nodes that decide where the ids of strict kinds are; the same on all nodes")
	f.StringVar(&m.dataDir, "data-dir", "", "where a voter keeps what it has voted: a `FOLDER` of its own on a disk that lasts (default distproc/NAME@HOST in the user's folder for state)")
	f.DurationVar(&m.drain, "drain-timeout", 5*time.Second, "how long running calls have when the node ends, HTTP requests before them; what takes longer is cancelled")
	m.web.register(f)
	m.registerLog(f, level)
}

func (m *member) registerLog(f *pflag.FlagSet, level string) {
	f.StringVar(&m.logLevel, "log-level", level, "debug, info, warn or error; the log goes to stderr")
	f.StringVar(&m.logFormat, "log-format", "text", "text or json")
}

// A running node, and what serves it over HTTP.
type running struct {
	*node.Node
	web *webServer // or nil
	log *slog.Logger

	cookies *nodeCookies
	joined  atomic.Bool // or nobody is to be joined

	drain time.Duration // that calls have when the node leaves

	atEnd []func() // for when it has left
}

// start starts the node that the flags describe.
func (m *member) start(log *slog.Logger) (*running, error) {
	c, cookies, err := m.config(log)
	if err != nil {
		return nil, err
	}
	r := &running{log: log, cookies: cookies, drain: m.drain}
	tracer, flush, err := tracing(nameOf(m.name), log)
	if err != nil {
		return nil, err
	}
	c.Tracer, r.atEnd = tracer, append(r.atEnd, flush)
	if r.web, err = m.web.listen(log, m.drain); err != nil {
		return nil, err
	}
	if r.Node, err = node.Start(c); err != nil {
		if r.web != nil {
			r.web.close()
		}
		return nil, err
	}
	at := []any{"node", r.Self(), "addr", r.Addr()}
	if r.Advertised() != r.Addr() {
		at = append(at, "advertised", r.Advertised())
	}
	log.Info("listening", append(at, "cookie", cookies.source)...)
	if r.web != nil {
		r.web.serve(r.Node, r.ready, log)
	}
	if withdraw, err := announce(stateDir(), r.Self(), r.Addr()); err != nil {
		log.Warn("commands without --attach cannot find this node", "err", err)
	} else {
		r.atEnd = append(r.atEnd, withdraw)
	}
	return r, nil
}

// join joins the nodes that the flags name, until it succeeds or ctx ends. It fails early
// if they refuse a node that was never a member.
func (r *running) join(ctx context.Context, names []string) error {
	err := r.Join(ctx, names...)
	if err == nil {
		r.joined.Store(true)
	}
	return err
}

// ready returns nil if the node is in the cluster that it is to join, and answers requests.
func (r *running) ready(ctx context.Context) error {
	// One of those to be joined is enough. If all have the same --join, somebody has to be the
	// first.
	if members, _ := r.Members(ctx); len(members) > 1 || r.AmongSeeds() {
		r.joined.Store(true)
	}
	if !r.joined.Load() {
		return errors.New("the node has not joined the cluster yet")
	}
	return r.Ready(ctx)
}

// leave closes the node: HTTP requests have --drain-timeout to end, and then other calls
// have as long.
func (r *running) leave() error {
	for _, f := range r.atEnd {
		defer f()
	}
	if r.web != nil {
		r.web.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.drain)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	r.log.Info("left", "node", r.Self())
	return nil
}

// config returns what the flags say, and reads the files that they name.
func (m *member) config(log *slog.Logger) (c node.Config, cookies *nodeCookies, err error) {
	if c, err = m.settings(); err != nil {
		return c, nil, err
	}
	cookies = &nodeCookies{shell: m.shellCookie}
	if cookies.list, cookies.source, err = m.cookies(node.LoadCookies); err != nil {
		return c, nil, err
	}
	c.Cookie, c.Cookies, c.Logger = cookies.list[0], cookies.others(), log
	c.Kinds, err = m.readKinds()
	return c, cookies, err
}

// settings returns what the flags say, without what is in files. An error names the place of
// a value that is not from the command line.
func (m *member) settings() (c node.Config, err error) {
	c, err = m.settled()
	return c, located(m.flags, err)
}

func (m *member) settled() (c node.Config, err error) {
	if m.ttl <= 0 {
		return c, usagef("--ttl %s: a worker must live for some time; write 30s, say, or forever", &m.ttl)
	}
	if err := node.CheckEndpoint(m.name, m.port, m.listen, m.advertise); err != nil {
		return c, locatedAt(m.flags, "name", usageError{err})
	}
	if err := m.join.check(1); err != nil {
		return c, err
	}
	if err := node.CheckVoters(m.voters); err != nil {
		return c, usageError{fmt.Errorf("--voters: %w", err)}
	}
	if err := m.check(); err != nil {
		return c, err
	}
	routing, err := placement.ParseRouting(m.routing)
	if err != nil {
		return c, locatedAt(m.flags, "routing", usageError{err})
	}
	timing, err := m.parseTiming()
	if err != nil {
		return c, locatedAt(m.flags, "timing", usageError{err})
	}
	if m.reapAfter <= 0 {
		return c, usagef("--reap-after %s: a member that is restarted must have some time to come back; write 10m, say, or forever", &m.reapAfter)
	}
	if m.clients < 1 {
		return c, usagef("--max-clients %d: at least 1, so that a shell can attach", m.clients)
	}
	if m.drain <= 0 || m.web.delay < 0 {
		return c, usagef("--drain-timeout %s and --drain-delay %s: the first must be more than 0, the second not less", m.drain, m.web.delay)
	}
	if err := m.web.check(); err != nil {
		return c, err
	}
	if _, err := m.level(); err != nil {
		return c, err
	}
	if m.def, err = m.defaultKind(); err != nil {
		return c, usageError{fmt.Errorf("--source: %w", err)}
	}
	return node.Config{
		Name: m.name, Port: m.port, Listen: m.listen, Advertise: m.advertise, TLS: m.tls, NoBusyPoll: !m.busyPoll,
		Default: m.def, Routing: routing, Timing: timing, ReapAfter: time.Duration(m.reapAfter),
		Voters: m.voters, DataDir: m.dataFolder(),
		Joins: len(m.join) > 0, Command: source.Command, MaxMemory: int64(m.maxMemory), MaxClients: m.clients, StateDir: stateDir(), Version: version(),
	}, nil
}

// dataFolder returns where a voter keeps what it has voted, or "".
func (m *member) dataFolder() string {
	if m.dataDir == "" && stateDir() != "" {
		return filepath.Join(stateDir(), nameOf(m.name))
	}
	return m.dataDir
}

// nameOf is a node's name without the port.
func nameOf(name string) string {
	a, _ := placement.ParseAddr(name) // it has been checked
	return a.Name.String()
}

// defaultKind returns the kind of --source and --ttl.
func (m *member) defaultKind() (worker.Kind, error) {
	s, err := source.Parse(m.source, source.Env{Kind: worker.DefaultKind, Node: nameOf(m.name)})
	return worker.Cache{
		TTL: time.Duration(m.ttl), Load: s, Inline: source.IsInline(m.source), Concurrency: source.Concurrency(m.source),
		Definition: m.source + " " + m.ttl.String(),
	}, err
}

// readKinds returns the kinds of --config, with the default one.
func (m *member) readKinds() (map[string]worker.Kind, error) {
	if m.kinds == "" {
		return nil, nil
	}
	data, err := file.Read(m.kinds, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	kinds, err := m.parseKinds(data)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	m.inFile = slices.Sorted(maps.Keys(kinds))
	return m.withDefault(kinds), nil
}

func (m *member) parseKinds(data []byte) (map[string]worker.Kind, error) {
	return parseKinds(data, m.kinds, nameOf(m.name))
}

// withDefault returns kinds with the default one, which is as the other flags say if the
// file lacks it.
func (m *member) withDefault(kinds map[string]worker.Kind) map[string]worker.Kind {
	all := maps.Clone(kinds)
	if _, ok := all[worker.DefaultKind]; !ok {
		all[worker.DefaultKind] = m.def
	}
	return all
}

// parseTiming returns the timing that the flags ask for, or the one that suits the node's
// address.
func (m *member) parseTiming() (node.Timing, error) {
	if m.timing != "" {
		return node.ParseTiming(m.timing)
	}
	addr, err := placement.ParseAddr(m.name)
	if ip := net.ParseIP(addr.Host); err == nil && (ip.IsLoopback() || addr.Host == "localhost") {
		return node.ParseTiming("local")
	}
	return node.ParseTiming("lan")
}

// level returns the level of the log, after a check of its format.
func (m *member) level() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(m.logLevel)); err != nil {
		return 0, usagef("--log-level %q: say debug, info, warn or error", m.logLevel)
	}
	if m.logFormat != "text" && m.logFormat != "json" {
		return 0, usagef("--log-format %q: say text or json", m.logFormat)
	}
	return level, nil
}

// logger returns the logger that the flags describe. It never waits for w; flush does,
// for at most 1 s.
func (m *member) logger(w io.Writer) (log *slog.Logger, flush func(), err error) {
	level, err := m.level()
	if err != nil {
		return nil, nil, located(m.flags, err)
	}
	m.logFrom.Set(level)
	options := &slog.HandlerOptions{Level: &m.logFrom}
	var h slog.Handler = slog.NewTextHandler(w, options)
	if m.logFormat == "json" {
		h = slog.NewJSONHandler(w, options)
	}
	log, flush = boundedlog.New(slog.New(h))
	return log, flush, nil
}
