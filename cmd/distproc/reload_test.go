package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A reloadTest is a reloader of a file that is a list of kinds, such as "a b". The file
// "half" is wrong, and "none" is not there.
type reloadTest struct {
	file    atomic.Pointer[string] // what is in the file
	applied []string
	log     bytes.Buffer
	hangups chan struct{}
	reader  reloader
}

func startReload(t *testing.T, file string) *reloadTest {
	r := &reloadTest{hangups: make(chan struct{}, 1)}
	r.file.Store(&file)
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	m := &member{inFile: strings.Fields(file)}
	apply := func(kinds map[string]worker.Kind) error {
		if _, ok := kinds["refused"]; ok {
			return errors.New("refused")
		}
		delete(kinds, worker.DefaultKind) // that of the flags
		r.applied = append(r.applied, strings.Join(slices.Sorted(maps.Keys(kinds)), " "))
		return nil
	}
	r.reader = reloader{
		what: "the kinds", log: log,
		read: func() ([]byte, error) {
			text := *r.file.Load()
			if text == "none" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		},
		parse: func(data []byte) (change, error) {
			if strings.Contains(string(data), "half") {
				return change{}, fmt.Errorf("file:1: %s", data)
			}
			kinds := map[string]worker.Kind{}
			for name := range strings.FieldsSeq(string(data)) {
				kinds[name] = worker.Cache{}
			}
			return m.kindsChange(kinds, apply, log), nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); reload(ctx, r.hangups, log, &r.reader) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

const (
	stayed = `level=ERROR msg="the kinds stay as they are; `
	again  = stayed + `the file is read again for a few seconds" why=`
)

// TestReload writes a file step by step, 400 ms each, with SIGHUP at every step marked ^.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps   []string
		applied []string
		log     string
	}{
		"more kinds": {[]string{"^a b c"}, []string{"a b c"}, `level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`},
		"half written, then whole": {
			[]string{"^", "a b c"}, []string{"a b c"},
			`level=WARN msg="kinds would go; the file is read again in 1s" kinds="[a b]"
level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`,
		},
		"a kind is gone": {
			[]string{"^b"}, []string{"b"},
			`level=WARN msg="kinds would go; the file is read again in 1s" kinds=[a]
level=INFO msg="kinds changed" by=SIGHUP names=[b]
level=WARN msg="kinds are gone: the file no longer has them" kinds=[a]`,
		},
		"all are gone": {
			[]string{"^"}, []string{""},
			`level=WARN msg="kinds would go; the file is read again in 1s" kinds="[a b]"
level=INFO msg="kinds changed" by=SIGHUP names=[]
level=WARN msg="kinds are gone: the file no longer has them" kinds="[a b]"`,
		},
		"written slowly": {
			[]string{"^", "", "half", "", "a", "", "a b c"}, []string{"a b c"},
			`level=WARN msg="kinds would go; the file is read again in 1s" kinds="[a b]"
` + again + `"file:1: half"
level=WARN msg="kinds would go; the file is read again in 1s" kinds=[b]
level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`,
		},
		"wrong for good": {[]string{"^half a"}, nil, again + `"file:1: half a"`},
		"wrong in another way at last": {
			[]string{"^half a", "", "", "", "", "", "", "", "", "", "", "half b"}, nil,
			again + `"file:1: half a"` + "\n" + stayed + `send SIGHUP when the file is mended" why="file:1: half b"`,
		},
		"refused by the node":   {[]string{"^a b refused"}, nil, again + `refused`},
		"renamed into place":    {[]string{"^none", "a b c"}, []string{"a b c"}, again + `"file does not exist"` + "\n" + `level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`},
		"removed":               {[]string{"^none"}, nil, again + `"file does not exist"`},
		"mended too late":       {append([]string{"^half"}, append(make([]string, 15), "a b c")...), nil, again + `"file:1: half"`},
		"SIGHUP when it is":     {append([]string{"^half"}, append(make([]string, 15), "^a b c")...), []string{"a b c"}, again + `"file:1: half"` + "\n" + `level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`},
		"SIGHUP time and again": {[]string{"^a b c", "^", "^", "^", "^", "^", "^"}, []string{"a b c", "a b c"}, strings.Repeat(`level=INFO msg="kinds changed" by=SIGHUP names="[a b c]"`+"\n", 2)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := startReload(t, "a b")
				for i, step := range c.steps {
					text, signal := strings.CutPrefix(step, "^")
					if i == 0 || text != "" {
						r.file.Store(&text)
					}
					if signal {
						r.hangups <- struct{}{}
					}
					time.Sleep(400 * time.Millisecond)
					synctest.Wait()
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !slices.Equal(r.applied, c.applied) {
					t.Errorf("applied %q, want %q", r.applied, c.applied)
				}
				if got := strings.TrimSpace(r.log.String()); got != strings.TrimSpace(c.log) {
					t.Errorf("logged\n%s\nwant\n%s", got, c.log)
				}
			})
		})
	}
}

// TestReloadUnstable has a file that is never the same for a second: nothing is applied,
// and the reads end.
func TestReloadUnstable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startReload(t, "a b")
		r.hangups <- struct{}{}
		for i := range 30 {
			text := fmt.Sprintf("a b c%d", i)
			r.file.Store(&text)
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
		}
		reads := r.reader.reads
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.reader.reads != reads || len(r.applied) > 0 {
			t.Errorf("%d reads, then %d; applied %q", reads, r.reader.reads, r.applied)
		}
		if want := "the file keeps changing; send SIGHUP when it is written"; !strings.Contains(r.log.String(), want) {
			t.Errorf("logged\n%s\nwant %q", r.log.String(), want)
		}
	})
}
