package gossip

import (
	"context"
	"encoding/binary"
	"time"
)

// send is the goroutine that writes a peer's queue. It ends after some time without
// packets.
func (t *transport) send(p *peer) {
	idle := time.NewTicker(t.pace.idle)
	defer idle.Stop()
	busy := false
	for {
		select {
		case b := <-p.queue:
			t.write(p, b)
			busy = true
		case <-idle.C:
			if !busy && t.retire(p) {
				return
			}
			busy = false
		case <-t.ctx.Done():
			return
		}
	}
}

// retire ends the sender, unless a packet has been queued.
func (t *transport) retire(p *peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p.queue) > 0 {
		return false
	}
	p.sending = false
	t.forgetLocked(p)
	return true
}

// write sends a packet and those queued behind it. Packets that cannot be sent are
// dropped.
func (t *transport) write(p *peer, b []byte) {
	frame := appendFrame(nil, b)
	n := uint64(1)
	l := t.sendLink(p)
	for len(frame) < maxPacket {
		select {
		case b = <-p.queue:
			frame = appendFrame(frame, b)
			n++
			continue
		default:
		}
		break
	}
	if l == nil || !t.writeFrame(l, frame) {
		t.count.lost.Add(n)
		return
	}
	l.touch()
	t.count.packetsSent.Add(n)
	t.count.bytesSent.Add(uint64(len(frame)))
}

func appendFrame(frame, packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(frame, uint16(len(packet))), packet...)
}

// sendLink returns a link for packets. It does not dial shortly after a failed dial.
func (t *transport) sendLink(p *peer) *link {
	t.mu.Lock()
	l, tried := p.liveLocked(), p.tried
	t.mu.Unlock()
	if l == nil && time.Since(tried) >= t.pace.redial {
		l, _ = t.connect(t.ctx, p.name, "") // connect limits the time of a dial
	}
	return l
}

// writeFrame writes packets to the link's stream of packets, which it opens if necessary.
// After an error it closes the link.
func (t *transport) writeFrame(l *link, frame []byte) bool {
	if l.out == nil {
		ctx, cancel := context.WithTimeout(t.ctx, t.pace.stream)
		conn, err := t.open(ctx, l, kindPackets)
		cancel()
		if err != nil {
			l.close()
			return false
		}
		l.out = conn
	}
	l.out.SetWriteDeadline(time.Now().Add(t.pace.stream))
	if _, err := l.out.Write(frame); err != nil {
		t.log.Debug("cannot send gossip", "node", l.name, "why", err)
		l.close()
		return false
	}
	return true
}
