package gossip

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"
)

const (
	sieveTime = 2 * time.Second // minimum time for which a message is remembered; at most twice that
	sieveMost = 1 << 16         // messages that are remembered; at most twice that
)

// A sieve drops gossip that has been received before. Members repeat each piece of news
// about ten times, and memberlist is slow to detect that: when many nodes join at once,
// so slow that live members look dead. Probes and their answers pass.
type sieve struct {
	seed maphash.Seed

	mu     sync.Mutex
	young  map[uint64]struct{} // guarded by mu: hashes of messages
	old    map[uint64]struct{} // guarded by mu
	turned time.Time           // guarded by mu: time at which young became old
}

func newSieve() *sieve {
	return &sieve{seed: maphash.MakeSeed(), young: map[uint64]struct{}{}}
}

// sift returns a packet without the messages that were received before, or nil if none is
// left. The packet must be wanted.
func (s *sieve) sift(packet []byte, now time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.turned); age > sieveTime || len(s.young) > sieveMost {
		s.old, s.young, s.turned = s.young, map[uint64]struct{}{}, now
		if age > 2*sieveTime {
			s.old = nil
		}
	}
	var fresh [][]byte
	all := true
	for m := range messages(packet) {
		if s.freshLocked(m) {
			fresh = append(fresh, m)
		} else {
			all = false
		}
	}
	switch {
	case len(fresh) == 0:
		return nil
	case all:
		return packet
	case len(fresh) == 1:
		return fresh[0]
	}
	sifted := append(make([]byte, 0, len(packet)), compoundMsg, byte(len(fresh)))
	for _, m := range fresh {
		sifted = binary.BigEndian.AppendUint16(sifted, uint16(len(m)))
	}
	for _, m := range fresh {
		sifted = append(sifted, m...)
	}
	return sifted
}

func (s *sieve) freshLocked(message []byte) bool {
	switch message[0] {
	case suspectMsg, aliveMsg, deadMsg, userMsg:
	default:
		return true
	}
	h := maphash.Bytes(s.seed, message)
	_, young := s.young[h]
	_, old := s.old[h]
	s.young[h] = struct{}{}
	return !young && !old
}
