package gossip

import (
	"bytes"
	"log"
	"log/slog"
)

// newLogger returns a logger for serf and memberlist. Their lines are logged at level
// debug, because users need only the changes of members.
func newLogger(to *slog.Logger) *log.Logger { return log.New(lines{to}, "", 0) }

type lines struct{ to *slog.Logger }

func (l lines) Write(line []byte) (int, error) {
	l.to.Debug("membership", "line", string(bytes.TrimSpace(line)))
	return len(line), nil
}
