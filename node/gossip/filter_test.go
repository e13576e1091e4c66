package gossip

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"

	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/wire"
)

// compound joins messages as memberlist does.
func compound(messages ...string) string {
	b := []byte{compoundMsg, byte(len(messages))}
	for _, m := range messages {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
	}
	return string(b) + strings.Join(messages, "")
}

func TestWanted(t *testing.T) {
	t.Parallel()
	const (
		alive      = "\x04\x80"
		join       = "\x08\x01\x80"
		query      = "\x08\x04\x80"
		compressed = "\x09\x80"
		crc        = "\x0c0000"
	)
	for packet, want := range map[string]bool{
		alive:                              true,
		join:                               true,
		crc + alive:                        true,
		compound(alive, join, alive):       true,
		crc + compound(alive, join):        true,
		compound():                         true,
		"":                                 false,
		"\x04":                             false,
		query:                              false,
		compressed:                         false,
		"\x06\x80":                         false,
		"\xf4\x01x" + alive:                false, // with a label
		crc:                                false,
		crc + crc + alive:                  false,
		crc + compressed:                   false,
		compound(alive, compressed):        false,
		compound(alive, query):             false,
		compound(compound(alive)):          false,
		compound(""):                       false,
		compound(alive, alive)[:8]:         false,
		"\x07\xff\x00":                     false,
		"\x04" + strings.Repeat("x", 9999): false,
	} {
		if got := wanted([]byte(packet)); got != want {
			t.Errorf("%.20q: %v", packet, got)
		}
	}
}

// state encodes the start of a comparison.
func state(head map[string]any) string {
	b := bytes.NewBuffer([]byte{pushPullMsg})
	codec.NewEncoder(b, &codec.MsgpackHandle{}).Encode(head)
	return b.String()
}

func TestStateConn(t *testing.T) {
	t.Parallel()
	good := state(map[string]any{"Nodes": 3, "UserStateLen": 5, "Join": true})
	for stream, want := range map[string]string{
		good + "rest":  good + "rest",
		"\x0dwhatever": "\x0dwhatever",
		"":             "",
		"\x06":         "",
		"\x09\x80":     "",
		"\x08\x80":     "",
		good[:6]:       "",
		state(map[string]any{"Nodes": maxStateNodes + 1}):             "",
		state(map[string]any{"Nodes": -1}):                            "",
		state(map[string]any{"UserStateLen": maxStateUser + 1}):       "",
		state(map[string]any{"UserStateLen": -1}):                     "",
		state(map[string]any{"x": strings.Repeat("x", maxStateHead)}): "",
	} {
		a, b := net.Pipe()
		go func() { io.WriteString(a, stream); a.Close() }()
		count := new(counters)
		got, err := io.ReadAll(newStateConn(b, count))
		if string(got) != want || (err == nil) != (want != "" || stream == "") || count.bytesReceived.Load() != uint64(len(want)) {
			t.Errorf("%.40q is read as %.40q, %v", stream, got, err)
		}
		b.Close()
	}
	a, b := net.Pipe()
	go func() {
		io.WriteString(a, good)
		for chunk := make([]byte, 1<<16); ; {
			if _, err := a.Write(chunk); err != nil {
				return
			}
		}
	}()
	if n, err := io.Copy(io.Discard, newStateConn(b, new(counters))); err != nil || n > maxState+maxStateHead {
		t.Errorf("%d bytes of a state without end are read, %v", n, err)
	}
	b.Close()
}

// A cluster does not send what it does not want.
func TestWantedIsSent(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, Local)
	var log testlog.Buffer
	n.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	nodes := n.many(6)
	n.see(within, nodes, nodes, nil)
	nodes[0].kill()
	n.see(within, nodes[1:], nodes[1:], nodes[:1])
	if err := nodes[1].g.Remove(nodes[0].name); err != nil {
		t.Error(err)
	}
	nodes[1].g.Leave(t.Context())
	n.see(within, nodes[2:], nodes[2:], nil)
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "cannot send gossip") {
			continue // a link to a node that was killed
		}
		if strings.Contains(line, "gossip") || strings.Contains(line, "decode") || strings.Contains(line, "unexpected") {
			t.Error(line)
		}
	}
}

// A packet holds at most 255 messages, and memberlist counts them in a byte.
func TestPacketSize(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(struct {
		LTime uint64
		Node  string
	}{1, "1@h"})
	const user, kind, size = 1, 1, 2
	if shortest := b.Len() + user + kind + size; packetSize/shortest > 255 {
		t.Errorf("%d messages of %d bytes fit", packetSize/shortest, shortest)
	}
}

// Tags of a member with the longest name and address fit.
func TestLongNames(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, Local)
	host := strings.Repeat(strings.Repeat("x", 62)+".", 4) + "x"
	a := n.startAt(strings.Repeat("a", 64)+"@"+host, host+":65535")
	b := n.startAt(strings.Repeat("b", 64)+"@"+host, host+":65534")
	a.join(b)
	n.see(within, []*node{a, b}, []*node{a, b}, nil)
}

// A loneHost reaches nobody.
type loneHost struct{}

func (loneHost) Valid(name, addr string) bool                     { return Valid(name, addr) }
func (loneHost) Dial(context.Context, wire.Member) (Link, error)  { return nil, errRefused }
func (loneHost) Sync(context.Context, *Gossip, wire.Member) error { return errRefused }
func (loneHost) Changed()                                         {}
func (loneHost) Conflict(wire.Member)                             {}

// lone starts a node for fuzzing, to which one link leads.
func lone(f *testing.F) (*Gossip, *memLink) {
	n := &network{log: slog.New(slog.DiscardHandler), links: map[*memLink]string{}, cuts: map[[2]string]bool{}}
	g, err := Start(Config{
		Self: wire.Member{Name: "self", Addr: "self:1", Incarnation: 5}, Logger: n.log,
	}, loneHost{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(g.Close)
	ours, theirs := newLinks(n, "peer", "self")
	g.Serve("peer", theirs)
	return g, ours
}

// FuzzPackets has a peer send any bytes where packets are, to a whole node.
func FuzzPackets(f *testing.F) {
	g, _ := lone(f)
	encode := func(kind byte, v any) []byte {
		b := bytes.NewBuffer([]byte{kind})
		codec.NewEncoder(b, &codec.MsgpackHandle{}).Encode(v)
		return b.Bytes()
	}
	alive := encode(aliveMsg, map[string]any{
		"Incarnation": 1, "Node": "x", "Addr": []byte(constantIP), "Port": constantPort, "Vsn": []byte{1, 5, 2, 2, 5, 5},
		"Meta": append([]byte{255}, encode(0, map[string]string{tagAddr: "x:1", tagIncarnation: "3"})[1:]...),
	})
	for _, b := range [][]byte{
		alive,
		[]byte(compound(string(alive), string(encode(suspectMsg, map[string]any{"Node": "x", "Incarnation": 1, "From": "y"})))),
		encode(deadMsg, map[string]any{"Node": "x", "Incarnation": 2, "From": "x"}),
		encode(suspectMsg, map[string]any{"Node": "self", "Incarnation": 1, "From": "x"}),
		encode(pingMsg, map[string]any{"SeqNo": 1, "Node": "self", "SourceNode": "x", "SourceAddr": []byte{1}, "SourcePort": 1}),
		encode(indirectPingMsg, map[string]any{"SeqNo": 1, "Node": "y", "Target": []byte{1}, "SourceNode": "x", "Nack": true}),
		encode(ackMsg, map[string]any{"SeqNo": 1}),
		encode(nackMsg, map[string]any{"SeqNo": 1}),
		append([]byte{userMsg}, encode(serfLeave, map[string]any{"LTime": 7, "Node": "x", "Prune": true})...),
		append([]byte{userMsg}, encode(serfJoin, map[string]any{"LTime": 9, "Node": "x"})...),
	} {
		f.Add(appendFrame(appendFrame(nil, b), b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := bytes.NewReader(b); ; {
			packet, err := readPacket(r)
			if err != nil {
				return
			}
			if wanted(packet) {
				g.transport.packets <- &memberlist.Packet{Buf: packet, From: nodeAddr("peer"), Timestamp: time.Now()}
			}
		}
	})
}

// FuzzState has a peer send any bytes where states are compared, to a whole node.
func FuzzState(f *testing.F) {
	g, link := lone(f)
	f.Add([]byte(state(map[string]any{"Nodes": 0, "UserStateLen": 0, "Join": true})))
	f.Add([]byte(state(map[string]any{"Nodes": 1, "UserStateLen": 1})))
	other := new(recorder)
	if err := other.record(g); err != nil {
		f.Fatal(err)
	}
	f.Add(other.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := link.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(within))
		conn.Write([]byte{kindState})
		go func() {
			conn.Write(b)
			conn.(*memConn).Conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		}()
		io.Copy(io.Discard, conn)
	})
}

// A recorder keeps the state that a node sends.
type recorder struct{ bytes.Buffer }

func (r *recorder) record(g *Gossip) error {
	n := &network{links: map[*memLink]string{}, cuts: map[[2]string]bool{}}
	ours, theirs := newLinks(n, "rec", "self")
	defer ours.Close()
	g.Serve("rec", theirs)
	done := make(chan error, 1)
	go func() { done <- g.joinSerf(g.ctx, "rec") }()
	conn, err := ours.Accept()
	if err != nil {
		return err
	}
	var kind [1]byte
	if _, err = io.ReadFull(conn, kind[:]); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	io.Copy(r, conn)
	conn.Close()
	<-done
	return nil
}
