package gossip

import "sync/atomic"

// Traffic counts the traffic on all links since [Start].
type Traffic struct {
	PacketsSent, PacketsReceived uint64
	PacketsLost                  uint64 // dropped without a link, or by a full queue
	StreamsSent, StreamsReceived uint64 // opened by this side, and by peers
	BytesSent, BytesReceived     uint64 // bytes of packets and streams, without the overhead of links
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
