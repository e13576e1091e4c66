package quorum

import (
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// A scribe passes what raft logs to the node's log, for those who debug: what users need to
// know the quorum says itself. An error of raft is mostly a voter that cannot be reached.
type scribe struct{ log *slog.Logger }

// newRaftLog returns a logger for raft.
func newRaftLog(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: nowhere{}})
	l.RegisterSink(scribe{log})
	return l
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// Accept implements [hclog.SinkAdapter].
func (s scribe) Accept(_ string, level hclog.Level, message string, args ...any) {
	s.log.Debug("raft", append([]any{"says", message, "level_of_raft", level.String()}, args...)...)
}
