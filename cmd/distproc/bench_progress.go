package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/distproc/distproc/node/bench"
)

// A progressLine is drawn over itself at a terminal. What else goes there is written
// through it.
type progressLine struct {
	w     io.Writer
	mu    sync.Mutex
	shown int            // columns; guarded by mu
	last  bench.Progress // guarded by mu
}

func (l *progressLine) show(p bench.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	perSecond := float64(p.Requests-l.last.Requests) / (p.Elapsed - l.last.Elapsed).Seconds()
	l.last = p
	l.drawLocked(fmt.Sprintf("%5.1fs  %d requests  %.0f per second  %d errors", p.Elapsed.Truncate(100*time.Millisecond).Seconds(), p.Requests, perSecond, p.Errors))
}

func (l *progressLine) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
}

func (l *progressLine) clearLocked() {
	if l.shown > 0 {
		l.drawLocked("")
		io.WriteString(l.w, "\r")
	}
}

func (l *progressLine) drawLocked(s string) {
	io.WriteString(l.w, "\r"+s+strings.Repeat(" ", max(0, l.shown-len(s))))
	l.shown = len(s)
}

func (l *progressLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clearLocked()
	return l.w.Write(p)
}
