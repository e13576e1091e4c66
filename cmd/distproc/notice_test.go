package main

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"
)

// TestNotice has a line of the log as it is shown at a terminal, and lines that are none.
func TestNotice(t *testing.T) {
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	time.Local = time.FixedZone("here", 5*60*60)

	const local = "04:59:58"
	for line, want := range map[string]string{
		"time=2026-03-01T23:59:58.001Z level=INFO msg=\"node up\" node=2@h": local + " node up node=2@h",
		"time=2026-03-01T23:59:58Z level=INFO msg=listening node=2@h":       local + " listening node=2@h",
		`time=2026-03-01T23:59:58Z level=WARN msg="a \"b\""`:                local + ` a "b"`,
		"time=yesterday level=INFO msg=listening":                           "time=yesterday level=INFO msg=listening",
		"time=2026-03-01T23:59:58Z":                                         "time=2026-03-01T23:59:58Z",
		"some words":                                                        "some words",
		"":                                                                  "",
	} {
		if got := notice(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Warn("node down", "node", "2@h")
	if got := notice(b.String()); !regexp.MustCompile(`^\d\d:\d\d:\d\d node down node=2@h\n$`).MatchString(got) {
		t.Errorf("%q", got)
	}
}
