package main

import (
	"strconv"
	"strings"
	"time"
)

// notice returns a line of slog's text as it is shown at a terminal: the time of day there,
// the message and its attributes. It returns other lines as they are.
func notice(line string) string {
	stamp, rest, found := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	_, text, hasText := strings.Cut(rest, "msg=")
	if !found || err != nil || !hasText {
		return line
	}
	if quoted, err := strconv.QuotedPrefix(text); err == nil {
		if msg, err := strconv.Unquote(quoted); err == nil {
			text = msg + text[len(quoted):]
		}
	}
	return at.Local().Format(time.TimeOnly) + " " + text
}
