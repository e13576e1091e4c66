package gossip

import (
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// A Timing is a preset of the failure detector. All members should have the same one. In
// clusters of 2 to 100 nodes, all members detect a crash within
//
//	Local	2 s	one machine
//	LAN	6 s	the default: one data center
//	WAN	20 s	round trips of up to 400 ms
//
// The times are sums of these parts, where P is the interval between two probes by one
// member, and n the number of members:
//
//   - until the first probe of the crashed member: each other member probes one random
//     member per P, so the probability that none has probed it after k·P is
//     (1-1/(n-1))^(k(n-1)) < e^-k, or less than 1 % after 5·P (Das, Gupta, Motivala, SWIM,
//     2002, section 3.1)
//   - until that probe has failed: P, which an answer may take. ProbeTimeout of memberlist
//     is only the time after which other members are asked to probe, too. It is below P/2,
//     because they report a failure after one more ProbeTimeout, and a member that gets no
//     report within P takes itself for unhealthy and probes less often.
//   - until the suspicion is confirmed: 4·max(1, log10 n)·P if two more members share it,
//     up to twice that if none does (suspicionTimeout in memberlist's util.go,
//     remainingSuspicionTime in its suspicion.go; Dadgar, Phillips, Currey, Lifeguard, 2017,
//     section IV). A live suspect can refute it until then, so a pause of up to 4·P does
//     not change the view of any member.
//   - until all members have heard of it: about log4(n)+2 rounds of gossip with 3 members
//     each
//
// For n = 100 that is 14·P and 6 rounds: 1.9 s, 5.6 s and 18 s. The last two members of
// many have no other members to ask, and take as long.
type Timing uint8

// The timings.
const (
	LAN Timing = iota
	Local
	WAN
)

var timingNames = [...]string{LAN: "lan", Local: "local", WAN: "wan"}

// ParseTiming reads "local", "lan" or "wan".
func ParseTiming(s string) (Timing, error) {
	for t, name := range timingNames {
		if s == name {
			return Timing(t), nil
		}
	}
	return 0, fmt.Errorf("timing %q: it is local, lan or wan", s)
}

func (t Timing) String() string {
	if int(t) < len(timingNames) {
		return timingNames[t]
	}
	return fmt.Sprintf("Timing(%d)", uint8(t))
}

// A pace is the set of durations behind a Timing, and of others that tests shorten.
type pace struct {
	probe     time.Duration // between two probes by one member
	gossip    time.Duration // between two rounds of gossip
	pushPull  time.Duration // between two exchanges of memberlist's state with a peer; longer if n > 32
	toTheDead time.Duration // time for which dead members still get gossip
	reconnect time.Duration // between two attempts to reach a failed member
	stream    time.Duration // timeout of one exchange of states, and of a dial

	tick        time.Duration // between two updates of the table
	sync        time.Duration // minimum time between two calls of [Host.Sync]; at most twice that
	news        time.Duration // the same after a call that brought news
	idle        time.Duration // time after which an unused link is closed
	redial      time.Duration // pause after a failed dial
	unconfirmed time.Duration // time after which an unconfirmed member counts as failed
	rival       time.Duration // time after which an earlier start with this node's name counts as another process
}

func (t Timing) pace() pace {
	p := pace{
		tick: time.Second, sync: 5 * time.Second, news: 500 * time.Millisecond,
		idle: time.Minute, redial: 200 * time.Millisecond, unconfirmed: 10 * time.Second, rival: time.Second,
	}
	const ms = time.Millisecond
	switch t {
	case Local:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 120*ms, 40*ms, 10*time.Second, 10*time.Second
		p.reconnect, p.stream = time.Second, time.Second
	case WAN:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 1200*ms, 200*ms, 30*time.Second, 30*time.Second
		p.reconnect, p.stream = 2*time.Second, 3*time.Second
		p.idle = 5 * time.Minute // a dial takes longer than a probe
	default:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 360*ms, 100*ms, 15*time.Second, 20*time.Second
		p.reconnect, p.stream = time.Second, 2*time.Second
	}
	return p
}

const (
	suspicionMult    = 4
	suspicionMaxMult = 2
	broadcastTimeout = 150 * time.Millisecond // longest time that serf waits for its farewell to spread, twice

	// packetSize is the size of memberlist's packets in bytes. It may exceed the usual
	// 1,400, because packets travel over TCP. It is bounded because a packet counts its
	// messages in one byte (sendMsg in memberlist's net.go does not split them), and the
	// shortest message takes 21 bytes.
	packetSize = 4 << 10
)

// The address of every node to memberlist. It supports only IP addresses, and would
// reject a live member with another one. Members are identified by name.
const (
	constantHost = "127.0.0.1"
	constantPort = 1
	constantAddr = "127.0.0.1:1"
)

var constantIP = net.IPv4(127, 0, 0, 1).To4() // 4 bytes, because memberlist compares bytes

// memberlist returns its configuration.
func (p pace) memberlist() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.BindAddr, c.BindPort = constantHost, constantPort
	c.AdvertiseAddr, c.AdvertisePort = constantHost, constantPort
	c.RequireNodeNames = true
	c.DisableTcpPings = true // they would use the same links as packets
	c.EnableCompression = false
	c.SkipInboundLabelCheck = false
	c.UDPBufferSize = packetSize

	c.ProbeInterval = p.probe
	c.ProbeTimeout = p.probe * 2 / 5
	c.SuspicionMult = suspicionMult
	c.SuspicionMaxTimeoutMult = suspicionMaxMult
	c.IndirectChecks = 3
	c.GossipInterval = p.gossip
	c.GossipNodes = 3
	c.RetransmitMult = 4
	c.HandoffQueueDepth = 4096 // the sieve drops repeats, so a message must not be lost here
	c.GossipToTheDeadTime = p.toTheDead
	c.PushPullInterval = p.pushPull
	c.TCPTimeout = p.stream
	return c
}

// serf returns its configuration, around memberlist's.
func (p pace) serf() *serf.Config {
	c := serf.DefaultConfig()
	c.MemberlistConfig = p.memberlist()
	c.ProtocolVersion = serf.ProtocolVersionMax
	c.DisableCoordinates = true
	c.EnableNameConflictResolution = false // it could shut this node down
	c.ValidateNodeNames = false            // serf's rule does not allow @
	c.EventBuffer, c.QueryBuffer = 1, 1    // unused, but part of every comparison with a peer

	c.BroadcastTimeout = broadcastTimeout
	c.LeavePropagateDelay = 0
	c.ReconnectInterval = p.reconnect
	// Serf also tries reaped members, so that the halves of a long split find each other.
	c.ReconnectTimeout = 24 * time.Hour
	c.TombstoneTimeout = time.Hour
	c.ReapInterval = 15 * time.Second
	return c
}

// MarshalText returns the name of the timing, which [ParseTiming] reads. It never fails.
func (t Timing) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets t by [ParseTiming].
func (t *Timing) UnmarshalText(text []byte) error {
	parsed, err := ParseTiming(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}
