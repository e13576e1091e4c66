package editor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestHistoryKeepsBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "history")
	entries := []string{"1", "def f():\n  return '\\n'", `"\\"`}
	h := openHistory(path)
	for _, e := range append(entries, entries[2], "", " \n") {
		h.add(e)
	}
	if got := openHistory(path).entries; !slices.Equal(got, entries) {
		t.Errorf("%q, want %q", got, entries)
	}
	if got, want := openHistory(path).lines()[1], "def f():\x1e  return '\\n'"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Shells that share the file lose nothing of each other, and the file does not grow for
// ever.
func TestHistoryIsShared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	var wg sync.WaitGroup
	for shell := range 4 {
		h := openHistory(path)
		wg.Go(func() {
			for i := range 2*maxHistory/4 + 1 {
				h.add(fmt.Sprintf("%d %d", shell, i))
			}
			h.save(1 << 20)
		})
	}
	wg.Wait()
	data, err := os.ReadFile(path)
	if n := strings.Count(string(data), "\n"); err != nil || n != 2*maxHistory+4 {
		t.Fatalf("%v; %d lines, want %d", err, n, 2*maxHistory+4)
	}
	if n := len(openHistory(path).entries); n != maxHistory {
		t.Errorf("%d entries, want %d", n, maxHistory)
	}
	data, _ = os.ReadFile(path)
	if n := strings.Count(string(data), "\n"); n != maxHistory {
		t.Errorf("%d lines after trimming, want %d", n, maxHistory)
	}
}

// An entry that comes while another shell shortens the file is not lost.
func TestHistoryTrimLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	stop := make(chan struct{})
	var adding, trimming sync.WaitGroup
	trimmer := openHistory(path)
	trimming.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				trimmer.trim()
			}
		}
	})
	var want []string
	for shell := range 2 {
		h := openHistory(path)
		for i := range maxHistory / 4 {
			want = append(want, fmt.Sprintf("%d %d", shell, i))
		}
		entries := want[len(want)-maxHistory/4:]
		adding.Go(func() {
			for _, e := range entries {
				h.add(e)
			}
			h.save(1 << 20)
		})
	}
	adding.Wait()
	close(stop)
	trimming.Wait()
	got := openHistory(path).entries
	for _, e := range want {
		if !slices.Contains(got, e) {
			t.Fatalf("%q is lost; %d of %d entries are left", e, len(got), len(want))
		}
	}
}

func TestHistoryWithoutAFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/dev/null/history"} {
		h := openHistory(path)
		h.add("1")
		if !slices.Equal(h.lines(), []string{"1"}) {
			t.Errorf("%q: %q", path, h.lines())
		}
	}
}

// A history that is no regular file is kept in memory.
func TestHistoryElsewhere(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, os.DevNull, t.TempDir()} {
		h := openHistory(path)
		h.add("1 + 1")
		if lines := h.lines(); len(lines) != 1 {
			t.Errorf("%s: %q", path, lines)
		}
	}
}
