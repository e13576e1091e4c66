package gossip

import "sync/atomic"

// Traffic counts what has crossed the links since [Start].
type Traffic struct {
	PacketsSent, PacketsReceived uint64
	PacketsLost                  uint64 // not sent: no link, or a full queue
	StreamsSent, StreamsReceived uint64 // opened by this side, and by peers
	BytesSent, BytesReceived     uint64 // of both, without what the links add
	Dials                        uint64 // failed ones included
	Links                        int    // open now
}

type counters struct {
	packetsSent, packetsReceived, lost atomic.Uint64
	streamsSent, streamsReceived       atomic.Uint64
	bytesSent, bytesReceived           atomic.Uint64
	dials                              atomic.Uint64
}

func (t *transport) traffic() Traffic {
	c := &t.count
	t.mu.Lock()
	links := t.links
	t.mu.Unlock()
	return Traffic{
		PacketsSent: c.packetsSent.Load(), PacketsReceived: c.packetsReceived.Load(), PacketsLost: c.lost.Load(),
		StreamsSent: c.streamsSent.Load(), StreamsReceived: c.streamsReceived.Load(),
		BytesSent: c.bytesSent.Load(), BytesReceived: c.bytesReceived.Load(),
		Dials: c.dials.Load(), Links: links,
	}
}
