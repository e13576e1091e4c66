package main

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distproc/distproc/node/worker"
)

const (
	stableFor  = time.Second // for which a file must stay the same before it is applied
	errorReads = 6           // of a wrong file, one every stableFor
	maxReads   = 10          // of a file that keeps changing
)

// A reloader applies a file of kinds again at every SIGHUP. The program that writes the
// file may still be writing then, so nothing changes until the file has been the same for
// stableFor. A file that is wrong changes nothing.
type reloader struct {
	read  func() ([]byte, error)
	parse func([]byte) (map[string]worker.Kind, error)
	apply func(map[string]worker.Kind) error
	kinds []string // names in the file that was applied last
	log   *slog.Logger

	data  []byte    // of the last read, if that could be parsed
	since time.Time // when data was read first; zero if there is none
	reads int       // since the last SIGHUP
	said  string    // what was logged last about the file; it is not repeated
}

// run reads the file at every SIGHUP, and after it until it is applied or given up. It
// returns when ctx ends.
func (r *reloader) run(ctx context.Context, hangups <-chan struct{}) {
	var again <-chan time.Time
	for {
		select {
		case <-hangups:
			r.reads, r.said = 0, ""
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		if r.step() {
			r.data, r.since = nil, time.Time{}
		} else {
			again = time.After(stableFor)
		}
	}
}

// step reads the file once. It reports whether the file was applied or given up.
func (r *reloader) step() (done bool) {
	r.reads++
	data, err := r.read()
	var kinds map[string]worker.Kind
	if err == nil {
		kinds, err = r.parse(data)
	}
	if err != nil {
		r.data, r.since = nil, time.Time{}
		return r.fail(err)
	}
	if r.since.IsZero() || !bytes.Equal(data, r.data) {
		r.data, r.since = data, time.Now()
	}
	gone := r.missing(kinds)
	if time.Since(r.since) < stableFor {
		if r.news(strings.Join(gone, " ")) {
			r.log.Warn("kinds would go; the file is read again in 1s", "kinds", gone)
		}
		if r.reads < maxReads {
			return false
		}
		r.log.Error("the kinds stay as they are: the file keeps changing; send SIGHUP when it is written")
		return true
	}
	if err := r.apply(kinds); err != nil {
		return r.fail(err)
	}
	r.kinds = slices.Sorted(maps.Keys(kinds))
	r.log.Info("kinds changed", "by", "SIGHUP", "names", r.kinds)
	if len(gone) > 0 {
		r.log.Warn("kinds are gone: the file no longer has them", "kinds", gone)
	}
	return true
}

// fail logs why the file is not applied. It reports whether to give up.
func (r *reloader) fail(why error) (done bool) {
	done = r.reads >= errorReads
	switch {
	case !r.news(why.Error()):
	case done:
		r.log.Error("the kinds stay as they are; send SIGHUP when the file is mended", "why", why)
	default:
		r.log.Error("the kinds stay as they are; the file is read again for a few seconds", "why", why)
	}
	return done
}

// news reports whether a text about the file is to be logged.
func (r *reloader) news(text string) bool {
	said := r.said
	r.said = text
	return text != "" && text != said
}

// missing returns the names of kinds in the last file that are not in this one.
func (r *reloader) missing(kinds map[string]worker.Kind) []string {
	return slices.DeleteFunc(slices.Clone(r.kinds), func(name string) bool { _, ok := kinds[name]; return ok })
}
