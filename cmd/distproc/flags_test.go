package main

import (
	"log/slog"
	"testing"

	"github.com/spf13/pflag"
)

// TestBusyPoll has the flag reach the node's configuration.
func TestBusyPoll(t *testing.T) {
	t.Setenv("DISTPROC_COOKIE", "the cookie of the tests")
	for flag, no := range map[string]bool{"--busy-poll": false, "--busy-poll=false": true, "--port=0": false} {
		var m member
		f := pflag.NewFlagSet("node", pflag.ContinueOnError)
		m.register(f, "info")
		if err := f.Parse([]string{"--name", "1@" + testHost(), flag}); err != nil {
			t.Fatal(err)
		}
		c, _, err := m.config(slog.New(slog.DiscardHandler))
		if err != nil || c.NoBusyPoll != no {
			t.Errorf("%s: NoBusyPoll %t, %v", flag, c.NoBusyPoll, err)
		}
	}
}
