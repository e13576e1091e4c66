package gossip

import (
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// A Timing is how fast failures are seen. All members should have the same. That a node has crashed is seen
// by all members, in clusters of 2 to 100 nodes, within
//
//	Local	2 s	one machine
//	LAN	6 s	the default: one data center
//	WAN	20 s	round trips of up to 400 ms
//
// The sum behind it, with P the interval between two probes by one member, and n the number of members:
//
//   - until the first probe of the crashed member: each of the others probes one random member per P, so
//     after k·P nobody has probed it with a probability of (1-1/(n-1))^(k(n-1)) < e^-k; 5·P for 1 % (Das,
//     Gupta, Motivala, SWIM, 2002, section 3.1)
//   - until that probe has failed: P. An answer may take so long. memberlist's ProbeTimeout is only when
//     others are asked to probe as well. It is below P/2, because they say after one more ProbeTimeout that
//     they had no answer, and who does not hear that by P thinks that it is ill itself, and probes less
//     often.
//   - until the suspicion is a certainty: 4·max(1, log10 n)·P if two more members have it, up to twice that
//     if nobody does (suspicionTimeout in memberlist's util.go, remainingSuspicionTime in its suspicion.go;
//     Dadgar, Phillips, Currey, Lifeguard, 2017, section IV). A suspect that lives has that long to say so,
//     so a pause of up to 4·P costs nobody a change of view.
//   - until all have heard: about log4(n)+2 rounds of gossip with 3 members each
//
// For n = 100 that is 14·P and 6 rounds: 1.9 s, 5.6 s and 18 s. Two members that are left of many have no
// others to ask, and take as long.
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

// A pace is what a Timing stands for, and other durations that tests shorten.
type pace struct {
	probe     time.Duration // between two probes by one member
	gossip    time.Duration // between two rounds of gossip, if there is any
	pushPull  time.Duration // between two comparisons of all that memberlist knows with one peer; longer if n > 32
	toTheDead time.Duration // for how long the dead are told that they are
	reconnect time.Duration // between two attempts at a failed member, by anybody
	stream    time.Duration // for one comparison with a peer, and for a dial

	tick     time.Duration // between two looks at what is due
	exchange time.Duration // between two [Config.Exchange], at least; at most twice that
	news     time.Duration // the same after one that brought news
	idle     time.Duration // until an unused link is closed
	redial   time.Duration // after a failed dial
	rumour   time.Duration // until a member that only peers have seen has failed
	rival    time.Duration // until an earlier start with this node's name is another process
}

func (t Timing) pace() pace {
	p := pace{
		tick: time.Second, exchange: 5 * time.Second, news: 500 * time.Millisecond,
		idle: time.Minute, redial: 200 * time.Millisecond, rumour: 10 * time.Second, rival: time.Second,
	}
	const ms = time.Millisecond
	switch t {
	case Local:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 120*ms, 40*ms, 10*time.Second, 10*time.Second
		p.reconnect, p.stream = time.Second, time.Second
	case WAN:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 1200*ms, 200*ms, 30*time.Second, 30*time.Second
		p.reconnect, p.stream = 2*time.Second, 3*time.Second
		p.idle = 5 * time.Minute // a dial takes longer than a probe may
	default:
		p.probe, p.gossip, p.pushPull, p.toTheDead = 360*ms, 100*ms, 15*time.Second, 20*time.Second
		p.reconnect, p.stream = time.Second, 2*time.Second
	}
	return p
}

const (
	suspicionMult    = 4
	suspicionMaxMult = 2
	broadcastTimeout = 150 * time.Millisecond // how long serf waits until its farewell is on its way; twice
	leaveDelay       = 200 * time.Millisecond // how long it answers after that

	// packetSize is how much memberlist puts into one packet. It may be more than the usual 1,400, because
	// packets ride on TCP, but a packet counts its messages in one byte (sendMsg in memberlist's net.go does
	// not split them, as gossip does), and the shortest takes 21 bytes.
	packetSize = 4 << 10
)

// The address that every node has as far as memberlist is concerned: it holds IP addresses only, and would
// refuse a living member with another one. Members are told apart by name.
const (
	constantHost = "127.0.0.1"
	constantPort = 1
	constantAddr = "127.0.0.1:1"
)

var constantIP = net.IPv4(127, 0, 0, 1).To4() // memberlist compares the bytes

// memberlist returns its configuration.
func (p pace) memberlist() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.BindAddr, c.BindPort = constantHost, constantPort
	c.AdvertiseAddr, c.AdvertisePort = constantHost, constantPort
	c.RequireNodeNames = true
	c.DisableTcpPings = true // they would take the way that packets take
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
	c.HandoffQueueDepth = 4096 // what does not fit comes no second time, by the sieve
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
	c.ValidateNodeNames = false            // it knows no @
	c.EventBuffer, c.QueryBuffer = 1, 1    // unused, but part of every comparison with a peer

	c.BroadcastTimeout = broadcastTimeout
	c.LeavePropagateDelay = leaveDelay
	c.ReconnectInterval = p.reconnect
	// It tries those that have been reaped too, so that halves that were apart for long find each other.
	c.ReconnectTimeout = 24 * time.Hour
	c.TombstoneTimeout = time.Hour
	c.ReapInterval = 15 * time.Second
	return c
}

// MarshalText returns the name of the timing.
func (t Timing) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what [ParseTiming] reads.
func (t *Timing) UnmarshalText(text []byte) error {
	parsed, err := ParseTiming(string(text))
	if err == nil {
		*t = parsed
	}
	return err
}
