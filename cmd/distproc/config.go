package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// A kindConfig is one [kind.NAME]. A key that is not given has the default of
// [worker.Cache] or [worker.Serial].
type kindConfig struct {
	Source      *string  `toml:"source"`
	Serial      bool     `toml:"serial"`
	Strict      bool     `toml:"strict"`
	TTL         any      `toml:"ttl"` // a duration, as those below; see durationOf
	Expire      *string  `toml:"expire"`
	TTLJitter   *float64 `toml:"ttl_jitter"`
	ServeStale  any      `toml:"serve_stale"`
	CacheErrors any      `toml:"cache_errors"`
	Queue       *int     `toml:"queue"`
	Concurrency *int     `toml:"concurrency"`
	MaxBytes    *size    `toml:"max_bytes"`
	Timeout     any      `toml:"timeout"`
	Idempotent  *bool    `toml:"idempotent"`
}

// durationOf returns the duration that a TOML value stands for: a string as Go writes
// durations, such as 1m30s, or forever. A number is refused, because it does not say of
// what.
func durationOf(v any) (time.Duration, error) {
	switch n := v.(type) {
	case string:
		if n == "forever" {
			return worker.Forever, nil
		}
		if d, err := time.ParseDuration(n); err == nil && d >= 0 {
			return min(d, worker.Forever), nil
		}
	case int64, float64:
		return 0, fmt.Errorf(`%v has no unit; for seconds write "%vs"`, n, n)
	}
	return 0, fmt.Errorf(`%#v is no duration; write it like "500ms", "30s" or "1h30m", or "forever"`, v)
}

const maxConfig = 1 << 20 // bytes of a file of kinds

// kind returns the kind that k describes. If that makes no sense, it returns the wrong
// key too.
func (k *kindConfig) kind(env source.Env) (v worker.Kind, key string, err error) {
	if key, err := k.needsSource(); err != nil {
		return nil, key, err
	}
	var cache worker.Cache
	var serial worker.Serial
	if k.Serial {
		serial.Open, err = source.ParseSerial(*k.Source, env)
	} else {
		cache.Load, err = source.Parse(*k.Source, env)
		cache.Inline = source.IsInline(*k.Source)
	}
	if err != nil {
		return nil, "source", err
	}
	t, key, err := k.times()
	if err != nil {
		return nil, key, err
	}
	if key, err := k.bounds(); err != nil {
		return nil, key, err
	}
	exclusive := k.Idempotent != nil && !*k.Idempotent
	// Nodes may differ about concurrency and max_bytes, which depend on the machine.
	definition := fmt.Sprintf("%s serial=%v strict=%v ttl=%v use=%v jitter=%v stale=%v errors=%v queue=%d timeout=%v exclusive=%v",
		*k.Source, k.Serial, k.Strict, t.ttl, t.fromUse, valueOf(k.TTLJitter), t.stale, t.errors, valueOf(k.Queue), t.timeout, exclusive)
	ttl, idleTTL := t.ttl, time.Duration(0)
	if t.fromUse {
		ttl, idleTTL = 0, cmp.Or(t.ttl, worker.DefaultTTL)
	}
	concurrency := source.Concurrency(*k.Source)
	if k.Concurrency != nil {
		concurrency = *k.Concurrency
	}
	if k.Serial {
		serial.TTL, serial.IdleTTL, serial.Timeout, serial.Definition = ttl, idleTTL, t.timeout, definition
		serial.Queue, serial.Concurrency, serial.Strict = valueOf(k.Queue), concurrency, k.Strict
		return serial, "", nil
	}
	cache.TTL, cache.IdleTTL, cache.Timeout, cache.Definition = ttl, idleTTL, t.timeout, definition
	cache.StaleWhileRevalidate, cache.ErrorTTL, cache.Jitter = t.stale, t.errors, valueOf(k.TTLJitter)
	cache.Queue, cache.Concurrency, cache.MaxBytes = valueOf(k.Queue), concurrency, int64(valueOf(k.MaxBytes))
	cache.Exclusive, cache.Strict = exclusive, k.Strict
	return cache, "", nil
}

// valueOf returns *p, or zero if p is nil.
func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// kindTimes are the durations of a kind. Zero means the default.
type kindTimes struct {
	ttl, timeout, stale, errors time.Duration
	fromUse                     bool // ttl counts from the last use
}

// times returns the durations of k. If one makes no sense, it returns its key too.
func (k *kindConfig) times() (t kindTimes, key string, err error) {
	for _, d := range []struct {
		key  string
		from any
		to   *time.Duration
		zero bool // 0 makes sense
	}{
		{"ttl", k.TTL, &t.ttl, false},
		{"timeout", k.Timeout, &t.timeout, false},
		{"serve_stale", k.ServeStale, &t.stale, true},
		{"cache_errors", k.CacheErrors, &t.errors, true},
	} {
		if d.from == nil {
			continue
		}
		if *d.to, err = durationOf(d.from); err == nil && *d.to == 0 && !d.zero {
			err = errors.New("must be more than 0")
		}
		if err != nil {
			return t, d.key, err
		}
	}
	if k.Strict && t.timeout >= worker.Forever {
		return t, "timeout", errors.New("a call of a strict kind keeps its id until it ends; say how long it may run")
	}
	if k.Expire != nil && *k.Expire != "start" && *k.Expire != "use" {
		return t, "expire", fmt.Errorf("%q: say start or use", *k.Expire)
	}
	t.fromUse = valueOf(k.Expire) == "use"
	return t, "", nil
}

// bounds returns an error and its key if a number of k makes no sense.
func (k *kindConfig) bounds() (key string, err error) {
	switch {
	case k.TTLJitter != nil && !(*k.TTLJitter >= 0 && *k.TTLJitter <= 1):
		return "ttl_jitter", fmt.Errorf("%v: a number from 0 to 1", *k.TTLJitter)
	case k.Queue != nil && *k.Queue < 1:
		return "queue", fmt.Errorf("%d: how many calls may wait for one id, at least 1", *k.Queue)
	case k.Concurrency != nil && *k.Concurrency < 0:
		return "concurrency", fmt.Errorf("%d: how many runs may go on at a time on a node, or 0 for no limit", *k.Concurrency)
	case k.MaxBytes != nil && *k.MaxBytes < 1:
		return "max_bytes", fmt.Errorf("%d: how much memory values may take, such as \"64MiB\"", *k.MaxBytes)
	}
	return "", nil
}

// needsSource returns an error and its key if k has no source, or a key that a serial
// kind has no use for.
func (k *kindConfig) needsSource() (key string, err error) {
	switch {
	case k.Serial && k.Source == nil:
		return "serial", errors.New(`messages need something that takes them: add source = "exec:PROGRAM ARGS…" or an http(s):// address`)
	case k.Serial:
		if key, why := k.notSerial(); key != "" {
			return key, fmt.Errorf("not with serial = true: %s", why)
		}
	case k.Source == nil:
		return "source", errors.New(`say where values come from: source = "exec:PROGRAM ARGS…", an http(s):// address with {id} in it, or "random" for a trial`)
	}
	return "", nil
}

// notSerial returns a key that k has, but that a serial kind has no use for, and why; or
// "".
func (k *kindConfig) notSerial() (key, why string) {
	switch {
	case k.TTLJitter != nil:
		return "ttl_jitter", "no value is kept that could be loaded anew at the same time as others"
	case k.ServeStale != nil:
		return "serve_stale", "no value is kept that could be stale"
	case k.CacheErrors != nil:
		return "cache_errors", "no answer is kept, each message has its own"
	case k.MaxBytes != nil:
		return "max_bytes", "no value is kept that takes memory"
	case k.Idempotent != nil:
		return "idempotent", "a message that may have run is never run again"
	}
	return "", ""
}

// lineOf returns the line on which a key is set, or that of its table, or 1 if neither
// can be found.
func lineOf(data []byte, key ...string) int {
	want := strings.Join(key, ".")
	var p unstable.Parser
	p.Reset(data)
	table, found := "", 1
	for p.NextExpression() {
		e := p.Expression()
		var names []string
		line := 1
		for it := e.Key(); it.Next(); {
			names = append(names, string(it.Node().Data))
			line = p.Shape(it.Node().Raw).Start.Line
		}
		path := strings.Join(names, ".")
		if e.Kind == unstable.Table {
			if table = path + "."; strings.HasPrefix(want, table) {
				found = line
			}
			continue
		}
		if table+path == want || strings.HasPrefix(want, table+path+".") { // the latter within an inline table
			return line
		}
	}
	return found
}
