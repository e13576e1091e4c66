package wire

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// signs are those of life on a connection. The keepalive of yamux, which both sides ask for once a second whatever else is said,
// was most of what an idle node costs, as it has a link to each of the others.
type signs struct {
	sent  atomic.Bool // in this interval
	heard atomic.Bool // in this interval
}

// began is when all connections of this process count their intervals from, so that they wake it once a second, not each at its
// own time.
var began = time.Now()

// watch asks the peer for a sign of life while this side is busy with it, after an interval in which something was sent and nothing
// came, and after maxSilence of them in which nothing came. It returns ErrKeepAliveTimeout if there is none, and nil when mux has ended.
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
