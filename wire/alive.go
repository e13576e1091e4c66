package wire

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// signs records the signs of life on a connection. It replaces yamux's keepalive, which
// pings once a second even on a connection that is idle or carries data. A node has a
// link to each other node, so those pings would be most of its idle load.
type signs struct {
	sent  atomic.Bool // in this interval
	heard atomic.Bool // in this interval
}

// began is the common start of the intervals of all connections, so that they wake the
// process together, once a second.
var began = time.Now()

// watch pings the peer in each interval in which this side waits for it, after an
// interval in which something was sent and nothing arrived, and after maxSilence
// intervals in which nothing arrived. It returns ErrKeepAliveTimeout if a ping is not
// answered, or nil when mux has ended.
func (s *signs) watch(mux *yamux.Session, busy func() bool) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for silence := 0; ; {
		timer.Reset(keepAliveInterval - time.Since(began)%keepAliveInterval)
		select {
		case <-timer.C:
		case <-mux.CloseChan():
			return nil
		}
		sent, heard := s.sent.Swap(false), s.heard.Swap(false)
		silence++
		if heard {
			sent, silence = false, 0
		}
		if !sent && silence < maxSilence && !busy() {
			continue
		}
		if _, err := mux.Ping(); errors.Is(err, yamux.ErrSessionShutdown) {
			return nil
		} else if err != nil {
			return yamux.ErrKeepAliveTimeout
		}
	}
}
