//go:build unix

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestJoinList has --join name nodes and sources, some of them in one flag. The commas of a
// command are its own.
func TestJoinList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ flags, want []string }{
		{[]string{"1@h"}, []string{"1@h"}},
		{[]string{"1@h,2@h:80", "h:80"}, []string{"1@h", "2@h:80", "h:80"}},
		{[]string{"1@h, dns:h.example:80"}, []string{"1@h", "dns:h.example:80"}},
		{[]string{"dns:h,exec:sh -c 'echo 1@h,2@h', x"}, []string{"dns:h", "exec:sh -c 'echo 1@h,2@h', x"}},
		{[]string{""}, nil},
	} {
		var l joinList
		for _, flag := range c.flags {
			if err := l.Set(flag); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(l, c.want) {
			t.Errorf("%q is %q, want %q", c.flags, []string(l), c.want)
		}
		if err := l.check(1); err != nil {
			t.Errorf("%q: %v", c.flags, err)
		}
	}
	for _, flag := range []string{"oops", "1@h,,2@h", "dns:", "srv:a b", "exec:no-such-program-72", "exec:"} {
		var l joinList
		_ = l.Set(flag) // it takes everything
		if err := l.check(1); err == nil || !strings.HasPrefix(err.Error(), "--join: ") {
			t.Errorf("%q: %v", flag, err)
		}
	}
	l := joinList{"dns:h.example"}
	if err := l.check(0); err == nil || !strings.Contains(err.Error(), "write dns:HOST:PORT") {
		t.Errorf("a client, which has no port: %v", err)
	}
}

// TestJoinListFind has a client ask sources whom to attach to.
func TestJoinListFind(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seeds")
	none := "file:" + path + ".none"
	if err := os.WriteFile(path, []byte("2@h\noops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedText
	logger := slog.New(slog.NewTextHandler(&log, nil))
	l := joinList{"1@h", "file:" + path, none}
	names, err := l.find(t.Context(), logger)
	if err != nil || !slices.Equal(names, []string{"1@h", "2@h"}) || log.count("left out", "seeds:2:") != 1 || log.count("left out", "no such file") != 1 {
		t.Errorf("%q, %v\n%s", names, err, &log)
	}
	for _, l := range []joinList{{none}, {none, none}} {
		if names, err := l.find(t.Context(), logger); err == nil {
			t.Errorf("%q finds %q", []string(l), names)
		}
	}
}
