package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node/worker"
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

// TestForever has the flags that may be forever reach the node's configuration, and the
// help.
func TestForever(t *testing.T) {
	t.Setenv("DISTPROC_COOKIE", "the cookie of the tests")
	for text, want := range map[string]time.Duration{"forever": worker.Forever, "2562047h": worker.Forever, "1h30m": 90 * time.Minute} {
		var m member
		f := pflag.NewFlagSet("node", pflag.ContinueOnError)
		m.register(f, "info")
		if err := f.Parse([]string{"--name", "1@" + testHost(), "--ttl", text, "--reap-after", text}); err != nil {
			t.Fatal(err)
		}
		c, _, err := m.config(slog.New(slog.DiscardHandler))
		kind, _ := c.Default.(worker.Cache)
		if err != nil || kind.TTL != want || c.ReapAfter != want {
			t.Errorf("%s: TTL %s, ReapAfter %s, %v", text, kind.TTL, c.ReapAfter, err)
		}
		if got := f.Lookup("ttl").Value.String(); want == worker.Forever && got != "forever" {
			t.Errorf("%s: shown as %s", text, got)
		}
	}
}

func TestCookieFile(t *testing.T) {
	t.Parallel()
	host := testHost()
	home := t.TempDir()
	cmd := exec.Command("distproc", "repl", "--name", "1@"+host, "-e", "print(node())")
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "1@"+host+"\n" {
		t.Fatalf("%s%v", out, err)
	}
	info, err := os.Stat(filepath.Join(home, ".config", "distproc", "cookie"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cookie file: %v, %v", info, err)
	}
}
