package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// A configFile is what --config names: the kinds of workers, in TOML.
//
//	[kind.price]
//	source = "http://127.0.0.1:9000/price/{id}"
//	ttl = "30s"
type configFile struct {
	Kind map[string]kindConfig `toml:"kind"`
}

// A kindConfig is one [kind.NAME]. What is not given has the default of [worker.Kind].
type kindConfig struct {
	Source      *string  `toml:"source"`
	Serial      bool     `toml:"serial"`
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

// durationOf returns the duration that a TOML value stands for: a string as Go writes durations, such as 1m30s,
// or forever. A number is refused, because it does not say of what.
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

// parseKinds returns the kinds that a file describes, for a node of that name. Errors name the path.
func parseKinds(data []byte, path, name string) (map[string]worker.Kind, error) {
	var c configFile
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, configError(path, err)
	}
	kinds := map[string]worker.Kind{}
	for kind, k := range c.Kind {
		key, err := k.kind(kind, name, kinds)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: kind.%s.%s: %w", path, lineOf(data, "kind", kind, key), kind, key, err)
		}
	}
	return kinds, nil
}

// configError tells where the file is wrong, and what it may say.
func configError(path string, err error) error {
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(strict.Errors) > 0 {
		e := &strict.Errors[0]
		line, _ := e.Position()
		return fmt.Errorf("%s:%d: %s: no such key; a [kind.NAME] has source, serial, ttl, expire, ttl_jitter, serve_stale, cache_errors, queue, concurrency, max_bytes, timeout and idempotent",
			path, line, strings.Join(e.Key(), "."))
	}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := e.Position()
		where := ""
		if key := e.Key(); len(key) > 0 {
			where = strings.Join(key, ".") + ": "
		}
		return fmt.Errorf("%s:%d: %s%s", path, line, where, strings.TrimPrefix(e.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", path, err)
}

// kind adds what k describes to kinds. If that makes no sense it returns the key that is wrong, too.
func (k *kindConfig) kind(kind, name string, kinds map[string]worker.Kind) (key string, err error) {
	var v worker.Kind
	if key, err = k.answerer(&v, source.Env{Kind: kind, Node: name}); err != nil {
		return key, err
	}
	for _, d := range []struct {
		key  string
		from any
		to   *time.Duration
		zero bool
	}{
		{"ttl", k.TTL, &v.TTL, false},
		{"timeout", k.Timeout, &v.Timeout, false},
		{"serve_stale", k.ServeStale, &v.ServeStale, true},
		{"cache_errors", k.CacheErrors, &v.CacheErrors, true},
	} {
		if d.from == nil {
			continue
		}
		if *d.to, err = durationOf(d.from); err == nil && *d.to == 0 && !d.zero {
			err = errors.New("must be more than 0")
		}
		if err != nil {
			return d.key, err
		}
	}
	if k.Expire != nil {
		if *k.Expire != "start" && *k.Expire != "use" {
			return "expire", fmt.Errorf("%q: say start or use", *k.Expire)
		}
		v.FromUse = *k.Expire == "use"
	}
	if k.TTLJitter != nil {
		if v.TTLJitter = *k.TTLJitter; !(v.TTLJitter >= 0 && v.TTLJitter <= 1) {
			return "ttl_jitter", fmt.Errorf("%v: a number from 0 to 1", v.TTLJitter)
		}
	}
	if k.Queue != nil {
		if v.Queue = *k.Queue; v.Queue < 1 {
			return "queue", fmt.Errorf("%d: how many calls may wait for one id, at least 1", v.Queue)
		}
	}
	v.Concurrency = source.Concurrency(*k.Source)
	if k.Concurrency != nil {
		if v.Concurrency = *k.Concurrency; v.Concurrency < 0 {
			return "concurrency", fmt.Errorf("%d: how many runs may go on at a time on a node, or 0 for no limit", v.Concurrency)
		}
	}
	if k.MaxBytes != nil {
		if v.MaxBytes = int64(*k.MaxBytes); v.MaxBytes < 1 {
			return "max_bytes", fmt.Errorf("%d: how much memory values may take, such as \"64MiB\"", v.MaxBytes)
		}
	}
	v.Exclusive = k.Idempotent != nil && !*k.Idempotent
	v.Definition = fmt.Sprintf("%s serial=%v ttl=%v use=%v jitter=%v stale=%v errors=%v queue=%d timeout=%v exclusive=%v",
		*k.Source, k.Serial, v.TTL, v.FromUse, v.TTLJitter, v.ServeStale, v.CacheErrors, v.Queue, v.Timeout, v.Exclusive)
	// Concurrency and MaxBytes are left out: they depend on the machine, so nodes may differ.
	kinds[kind] = v
	return "", nil
}

// answerer sets what answers the calls of v. If that makes no sense it returns the key that is wrong, too.
func (k *kindConfig) answerer(v *worker.Kind, env source.Env) (key string, err error) {
	switch {
	case k.Serial && k.Source == nil:
		return "serial", errors.New(`messages need something that takes them: add source = "exec:PROGRAM ARGS…" or an http(s):// address`)
	case k.Serial:
		if key, why := k.notSerial(); key != "" {
			return key, fmt.Errorf("not with serial = true: %s", why)
		}
		v.Serial, err = source.ParseSerial(*k.Source, env)
	case k.Source == nil:
		return "source", errors.New(`say where values come from: source = "exec:PROGRAM ARGS…", an http(s):// address with {id} in it, or "random" for a trial`)
	default:
		v.Source, err = source.Parse(*k.Source, env)
		v.Inline = source.IsInline(*k.Source)
	}
	return "source", err
}

// notSerial returns a key that k has, but that a serial kind has no use for, and why; or "".
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

// lineOf returns the line on which a key is set, or that of its table, or 1 if neither can be found.
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
