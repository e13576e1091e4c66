package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/node/internal/endpoint"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/strict"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/cookie"
)

// Config says what a node is. Name and Cookie must be set; the zero value of every other
// field means the default that its comment gives.
type Config struct {
	Name      string            // NAME@HOST, or NAME@HOST:PORT
	Port      int               // of the node; by default the one that follows from the name
	Listen    string            // ADDR or ADDR:PORT to bind; HOST, or all addresses if HOST is a DNS name with several of this machine or none
	Advertise string            // HOST or HOST:PORT at which others dial the node; HOST and the port of the node
	Cookie    []byte            // secret that all nodes of the cluster share, 16 bytes or more; the first of LoadCookies
	Cookies   [][]byte          // others that peers may prove, at most 8, while the secret changes; see [Node.SetCookies]
	TLS       TLSFiles          // for mutual TLS in addition to the cookie; none
	Routing   placement.Routing // the same on all nodes; Modulo
	Timing    Timing            // of failure detection; LAN
	ReapAfter time.Duration     // time after which a failed member loses its slot; 10 min

	// Default is the kind of [Node.Request]. Without one, Request fails, and every call
	// must name one of Kinds.
	Default worker.Kind
	Kinds   map[string]worker.Kind // other kinds, by name; see [Node.SetKinds]

	MaxWaiting int   // calls that may wait for workers on this node; 65,536
	MaxClients int   // sessions of clients; 1,024
	MaxMemory  int64 // bytes of values of all kinds, beyond which the least recently used ones go; a quarter of the machine's or cgroup's

	// Joins says that Join will be called as soon as the node has started. Calls of
	// serial kinds wait for its result, for at most 3 s.
	Joins    bool
	StateDir string                                                                   // folder for the names of members, to find them after a restart; none
	Command  func(line string) (run func(context.Context) (string, error), err error) // for exec: in Join, as source.Command; none

	// Voters are the names of 1, 3 or 5 nodes that decide where ids of strict kinds are, the
	// same on all nodes. DataDir is where a voter keeps their log: a folder of its own.
	Voters  []string
	DataDir string

	NoBusyPoll bool           // sleep until an answer comes, even when many come, as with less than a core or a single processor; see wire/poll.go
	Tracer     observe.Tracer // makes spans of requests and runs: see package otel; none
	Logger     *slog.Logger   // silent; the node never waits for its handler: see boundedlog.New
	Version    string         // of the program, for [NodeInfo]

	network wire.Network // for tests; TCP
}

// A Timing is a preset of the failure detector. All nodes of a cluster must have the
// same. A crash is seen by all members, in clusters of 2 to 100 nodes, within the first of
// these times. The second one is the lease of a node, for which the ids of strict kinds wait
// after its crash.
//
//	Local	2 s	2 s	one machine
//	LAN	6 s	5 s	one data center
//	WAN	20 s	15 s	round trips of up to 400 ms
//
// See [gossip.Timing] for how these follow from the probes.
type Timing uint8

// The timings.
const (
	LAN   = Timing(gossip.LAN)
	Local = Timing(gossip.Local)
	WAN   = Timing(gossip.WAN)
)

// ParseTiming reads "local", "lan" or "wan".
func ParseTiming(s string) (Timing, error) {
	t, err := gossip.ParseTiming(s)
	return Timing(t), err
}

func (t Timing) String() string { return gossip.Timing(t).String() }

// TLSFiles names PEM files for mutual TLS. Either all files are given or none.
type TLSFiles struct {
	Cert, Key string // of this node; the key must be readable by this user only
	CA        string // that signed the certificates of all nodes

	// VerifyName demands that the certificate of a node names it, by HOST as a DNS name
	// or an IP address, or by NAME@HOST as an e-mail address, among its subject
	// alternative names. Otherwise every certificate of the CA is good for every node.
	// Clients need no name.
	VerifyName bool
}

// LoadCookies returns the cookies in the file at path, one a line, for a node: the first is
// for Config.Cookie. If there is no such file, LoadCookies creates it with 32 random bytes
// in hex, for this user only.
func LoadCookies(path string) ([][]byte, error) { return cookie.Load(path) }

// ReadCookies is LoadCookies for a file that must be there. The error wraps
// [io/fs.ErrNotExist] if it is not.
func ReadCookies(path string) ([][]byte, error) { return cookie.Read(path) }

// ReadCookie is ReadCookies for a client, which needs only the first cookie.
func ReadCookie(path string) ([]byte, error) { return cookie.First(path) }

// ParseCookie returns the cookie in text without surrounding white space. It must have at
// least 16 bytes.
func ParseCookie(text []byte) ([]byte, error) { return cookie.Parse(text) }

// CheckAddr returns an error unless a text says where a node is, as Connect and Attach
// take it: NAME@HOST, NAME@HOST:PORT, or HOST:PORT.
func CheckAddr(text string) error {
	_, err := protocol.ParseTarget(text)
	return err
}

// CheckEndpoint returns an error unless these can be Name, Port, Listen and Advertise of a
// Config. It looks nothing up.
func CheckEndpoint(name string, port int, listen, advertise string) error {
	_, err := endpoint.Parse(name, port, listen, advertise)
	return err
}

// CheckVoters returns an error unless Config.Voters may be these names: none, or those of 1, 3
// or 5 different nodes, each NAME@HOST.
func CheckVoters(names []string) error { return strict.CheckVoters(names) }

// check returns an error that names the field if one has a value that makes no sense.
func (c *Config) check() error {
	switch {
	case c.ReapAfter < 0:
		return fmt.Errorf("ReapAfter must not be %v: 0 means %v", c.ReapAfter, defaultReap)
	case c.MaxWaiting < 0:
		return fmt.Errorf("MaxWaiting must not be %d: 0 means 65,536", c.MaxWaiting)
	case c.MaxClients < 0:
		return fmt.Errorf("MaxClients must not be %d: 0 means 1,024", c.MaxClients)
	case c.MaxMemory < 0:
		return fmt.Errorf("MaxMemory must not be %d: 0 means a quarter of the machine's or cgroup's", c.MaxMemory)
	}
	return strict.Check(c.Name, c.Voters, c.DataDir)
}
