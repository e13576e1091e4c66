package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"time"
)

const (
	stableFor  = time.Second // for which a file must stay the same before it is applied
	errorReads = 6           // of a wrong file, one every stableFor
	maxReads   = 10          // of a file that keeps changing
)

// A reloader applies a file again at every SIGHUP. The program that writes the file may
// still be writing then, so nothing changes until the file has been the same for stableFor.
// A file that is wrong changes nothing.
type reloader struct {
	what  string // is read, as the log says it: "the kinds"
	read  func() ([]byte, error)
	parse func([]byte) (change, error)
	log   *slog.Logger

	pending bool      // the file is to be read since the last SIGHUP
	data    []byte    // of the last read, if that could be parsed
	since   time.Time // when data was read first; zero if there is none
	reads   int       // since the last SIGHUP
	said    string    // what was logged last about the file; it is not repeated
}

// A change is what the content of a file asks for.
type change struct {
	gone  []string // what would go, for a warning
	apply func() error
	told  func() // logs that it was applied
}

// reload has all reloaders read their files at every SIGHUP, and after it until each file
// is applied or given up. It returns when ctx ends.
func reload(ctx context.Context, hangups <-chan struct{}, log *slog.Logger, all ...*reloader) {
	var again <-chan time.Time
	for {
		select {
		case <-hangups:
			if len(all) == 0 {
				log.Info("SIGHUP: nothing to read again: no --config, no cookie file and no --tls-cert")
			}
			for _, r := range all {
				r.pending, r.reads, r.said = true, 0, ""
			}
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		for _, r := range all {
			if !r.pending {
				continue
			}
			if r.step() {
				r.pending, r.data, r.since = false, nil, time.Time{}
			} else {
				again = time.After(stableFor)
			}
		}
	}
}

// step reads the file once. It reports whether the file was applied or given up.
func (r *reloader) step() (done bool) {
	r.reads++
	data, err := r.read()
	var c change
	if err == nil {
		c, err = r.parse(data)
	}
	if err != nil {
		r.data, r.since = nil, time.Time{}
		return r.fail(err)
	}
	if r.since.IsZero() || !bytes.Equal(data, r.data) {
		r.data, r.since = data, time.Now()
	}
	if time.Since(r.since) < stableFor {
		if r.news(strings.Join(c.gone, " ")) {
			r.log.Warn("kinds would go; the file is read again in 1s", "kinds", c.gone)
		}
		if r.reads < maxReads {
			return false
		}
		r.log.Error(r.what + " stay as they are: the file keeps changing; send SIGHUP when it is written") //nolint:sloglint // what is a constant
		return true
	}
	if err := c.apply(); err != nil {
		return r.fail(err)
	}
	c.told()
	return true
}

// fail logs why the file is not applied. It reports whether to give up.
func (r *reloader) fail(why error) (done bool) {
	done = r.reads >= errorReads
	switch {
	case !r.news(why.Error()):
	case done:
		r.log.Error(r.what+" stay as they are; send SIGHUP when the file is mended", "why", why) //nolint:sloglint // what is a constant
	default:
		r.log.Error(r.what+" stay as they are; the file is read again for a few seconds", "why", why) //nolint:sloglint // what is a constant
	}
	return done
}

// news reports whether a text about the file is to be logged.
func (r *reloader) news(text string) bool {
	said := r.said
	r.said = text
	return text != "" && text != said
}
