package gossip_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"

	"github.com/distproc/distproc/node/gossip"
	"github.com/distproc/distproc/wire"
)

// A member is one node: it accepts links, and dials others.
type member struct {
	*gossip.Gossip
	self  wire.Member
	links *wire.Listener
}

// A host is what the gossip of a member needs.
type host struct {
	creds   *wire.Credentials
	hello   wire.Hello
	members map[string]*member
}

func (h host) Valid(name, addr string) bool { return gossip.Valid(name, addr) }

func (h host) Dial(ctx context.Context, to wire.Member) (gossip.Link, error) {
	return wire.DialLink(ctx, to.Addr, h.creds, h.hello)
}

func (h host) Sync(_ context.Context, g *gossip.Gossip, with wire.Member) error {
	other := h.members[with.Name]
	if g.Digest() != other.Digest() {
		g.Learn(other.Snapshot())
		other.Learn(g.Snapshot())
	}
	return nil
}

func (h host) Changed() {}

func (h host) Conflict(wire.Member) {}

// start starts a member whose links have the given credentials. The tables of all members
// are in this process, so that Sync can compare them directly.
func start(name string, creds *wire.Credentials, members map[string]*member) *member {
	l, err := wire.Listen("127.0.0.1:0", creds, nil)
	if err != nil {
		log.Fatal(err)
	}
	m := &member{self: wire.Member{Name: name, Addr: l.Addr().String(), Incarnation: 1}, links: l}
	hello := wire.Hello{Name: name, Role: wire.RoleLink}
	m.Gossip, err = gossip.Start(gossip.Config{
		Self:   m.self,
		Timing: gossip.Local,
		Logger: slog.New(slog.DiscardHandler),
	}, host{creds, hello, members})
	if err != nil {
		log.Fatal(err)
	}
	members[name] = m
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			if link, err := in.AcceptLink(hello); err == nil {
				m.Serve(link.Peer().Name, link)
			}
		}
	}()
	return m
}

func ExampleStart() {
	creds, err := wire.NewCredentials([]byte("a long secret that all nodes share"), wire.TLSFiles{})
	if err != nil {
		log.Fatal(err)
	}
	members := map[string]*member{}
	first, second := start("1@127.0.0.1", creds, members), start("2@127.0.0.1", creds, members)
	for _, m := range members {
		defer m.links.Close()
		defer m.Close()
	}
	if err := second.Join(context.Background(), first.self); err != nil {
		log.Fatal(err)
	}
	for _, m := range first.Members() {
		fmt.Println(m.Name, m.State == wire.Alive)
	}
	second.Leave(context.Background())
	// Output:
	// 1@127.0.0.1 true
	// 2@127.0.0.1 true
}

func ExampleParseTiming() {
	timing, err := gossip.ParseTiming("wan")
	fmt.Println(timing == gossip.WAN, err)
	// Output: true <nil>
}
