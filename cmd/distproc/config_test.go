package main

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// kindsOf returns the kinds of a file for node 2@127.0.0.1. Errors name the file
// config.toml.
func kindsOf(t *testing.T, text string) (map[string]worker.Kind, error) {
	t.Helper()
	return parseKinds([]byte(text), "config.toml", "2@127.0.0.1")
}

func TestConfigSerial(t *testing.T) {
	t.Parallel()
	kinds, err := kindsOf(t, `
[kind.all]
source = "exec:sh -c 'cat; echo \" $DISTPROC_ID $DISTPROC_KIND $DISTPROC_NODE\"'"
serial = true
ttl = "1m"
expire = "use"
queue = 7
timeout = "3s"

[kind.few]
source = "http://127.0.0.1:9/{id}"
serial = true

[kind.not]
source = "exec:cat"
serial = false
ttl_jitter = 0.5
serve_stale = "1s"
cache_errors = "2s"
idempotent = false
`)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := kinds["all"].(worker.Serial)
	few, _ := kinds["few"].(worker.Serial)
	not, _ := kinds["not"].(worker.Cache)
	if all.Open == nil || all.TTL != 0 || all.IdleTTL != time.Minute || all.Queue != 7 || all.Timeout != 3*time.Second {
		t.Errorf("all: %+v", all)
	}
	if few.Open == nil || few.TTL != 0 || few.IdleTTL != 0 || few.Queue != 0 || few.Timeout != 0 {
		t.Errorf("few: %+v", few)
	}
	if not.Load == nil || not.Jitter != 0.5 || not.StaleWhileRevalidate != time.Second || not.ErrorTTL != 2*time.Second || !not.Exclusive {
		t.Errorf("not: %+v", not)
	}
	id, err := worker.ParseID("a b")
	if err != nil {
		t.Fatal(err)
	}
	server, err := all.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	v, err := server.Call(t.Context(), worker.BytesValue("hello"))
	if want := "hello a b all 2@127.0.0.1"; err != nil || v.String() != want {
		t.Errorf("%q, %v, want %q", v, err, want)
	}
}

func definitionOf(kind worker.Kind) string {
	if s, ok := kind.(worker.Serial); ok {
		return s.Definition
	}
	return kind.(worker.Cache).Definition
}

// Nodes that differ only about serial do not agree.
func TestConfigSerialIsDefined(t *testing.T) {
	t.Parallel()
	definitions := map[string]bool{}
	for _, line := range []string{"", "serial = false", "serial = true"} {
		kinds, err := kindsOf(t, "[kind.a]\nsource = 'exec:cat'\n"+line)
		if err != nil {
			t.Fatal(err)
		}
		definitions[definitionOf(kinds["a"])] = true
	}
	if len(definitions) != 2 {
		t.Errorf("%v, want one for serial, and one for the others", definitions)
	}
}

func TestConfigSerialRefuses(t *testing.T) {
	t.Parallel()
	const head = "[kind.a]\nsource = 'exec:cat'\nserial = true\n"
	for _, c := range []struct{ text, want string }{
		{head + "ttl_jitter = 0.0", "config.toml:4: kind.a.ttl_jitter: not with serial = true: no value is kept"},
		{head + "serve_stale = '0s'", "config.toml:4: kind.a.serve_stale: not with serial = true: no value is kept"},
		{head + "strict = true\ntimeout = 'forever'", "config.toml:5: kind.a.timeout: a call of a strict kind keeps its id until it ends"},
		{head + "ttl = '1s'\ncache_errors = '1s'", "config.toml:5: kind.a.cache_errors: not with serial = true: no answer is kept"},
		{head + "idempotent = true", "config.toml:4: kind.a.idempotent: not with serial = true: a message that may have run"},
		{head + "idempotent = false", "config.toml:4: kind.a.idempotent: not with serial = true: a message that may have run"},
		{"[kind.a]\nttl = '1s'\nserial = true", `config.toml:3: kind.a.serial: messages need something that takes them: add source = "exec:`},
		{"[kind.a]\nserial = true\nsource = 'random'", `config.toml:3: kind.a.source: source "random": that takes no messages: say exec:`},
		{"[kind.a]\nserial = true\nsource = 'exec:'", `config.toml:3: kind.a.source: source "exec:": no program is named`},
		{head + "queue = 0", "config.toml:4: kind.a.queue: 0: "},
		{head + "concurrency = -1", "config.toml:4: kind.a.concurrency: -1: "},
		{head + "max_bytes = '1MiB'", "config.toml:4: kind.a.max_bytes: not with serial = true: no value is kept"},
		{"[kind.a]\nsource = 'random'\nmax_bytes = -1", "config.toml:3: kind.a.max_bytes: -1: "},
		{"[kind.a]\nsource = 'random'\nmax_bytes = '0'", `config.toml:3: kind.a.max_bytes: "0" is no size; write it like 512MiB`},
		{"[kind.a]\nsource = 'random'\nmax_bytes = 'much'", `config.toml:3: kind.a.max_bytes: "much" is no size; write it like 512MiB`},
		{head + "timeout = '0s'", "config.toml:4: kind.a.timeout: must be more than 0"},
		{"[kind.a]\nserial = 'yes'", "config.toml:2: kind.a.serial: "},
		{"[kind.a]\nserail = true", "config.toml:2: kind.a.serail: no such key; did you mean serial?"},
		{"[kind.a]\nweight = 3", "config.toml:2: kind.a.weight: no such key; a [kind.NAME] has source, serial, strict, ttl, "},
		{"[kinds.a]\nsource = 'random'", "config.toml:1: kinds.a: no such key; did you mean kind?"},
	} {
		_, err := kindsOf(t, c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\nerror %q, want %q", c.text, err, c.want)
		}
	}
}

// TestConfigExpire has the ttl count from the start or from the last use, with the
// default ttl as well.
func TestConfigExpire(t *testing.T) {
	type life struct{ ttl, idleTTL time.Duration }
	for lines, want := range map[string]life{
		"":                                {},
		"ttl = '1m'":                      {time.Minute, 0},
		"ttl = '1m'\nexpire = 'start'":    {time.Minute, 0},
		"ttl = '1m'\nexpire = 'use'":      {0, time.Minute},
		"expire = 'use'":                  {0, worker.DefaultTTL},
		"expire = 'use'\nttl = 'forever'": {0, worker.Forever},
	} {
		for _, serial := range []string{"", "\nserial = true"} {
			kinds, err := kindsOf(t, "[kind.a]\nsource = 'exec:cat'\n"+lines+serial)
			var got life
			switch k := kinds["a"].(type) {
			case worker.Cache:
				got = life{k.TTL, k.IdleTTL}
			case worker.Serial:
				got = life{k.TTL, k.IdleTTL}
			}
			if err != nil || got != want {
				t.Errorf("%s%s: %v, %v; want %v", lines, serial, got, err, want)
			}
		}
	}
}

// TestConfigBounds reads how much a kind may do and keep: for programs there is a bound
// unless the file has another one.
func TestConfigBounds(t *testing.T) {
	t.Parallel()
	kinds, err := kindsOf(t, `
[kind.exec]
source = "exec:cat"

[kind.serial]
source = "exec:cat"
serial = true

[kind.more]
source = "exec:cat"
concurrency = 0

[kind.few]
source = "http://127.0.0.1:9/{id}"
concurrency = 3
max_bytes = "64MiB"

[kind.http]
source = "http://127.0.0.1:9/{id}"
max_bytes = 1000
`)
	if err != nil {
		t.Fatal(err)
	}
	programs := 8 * runtime.GOMAXPROCS(0)
	for name, want := range map[string]worker.Cache{
		"exec": {Concurrency: programs},
		"more": {},
		"few":  {Concurrency: 3, MaxBytes: 64 << 20},
		"http": {MaxBytes: 1000},
	} {
		if got := kinds[name].(worker.Cache); got.Concurrency != want.Concurrency || got.MaxBytes != want.MaxBytes {
			t.Errorf("%s: %d at a time, %d bytes; want %d and %d", name, got.Concurrency, got.MaxBytes, want.Concurrency, want.MaxBytes)
		}
	}
	if got := kinds["serial"].(worker.Serial); got.Concurrency != programs {
		t.Errorf("serial: %d at a time, want %d", got.Concurrency, programs)
	}
}

// TestConfigDurations writes durations in all ways, for every key that has one.
func TestConfigDurations(t *testing.T) {
	t.Parallel()
	of := map[string]func(worker.Cache) time.Duration{
		"ttl":          func(k worker.Cache) time.Duration { return k.TTL },
		"timeout":      func(k worker.Cache) time.Duration { return k.Timeout },
		"serve_stale":  func(k worker.Cache) time.Duration { return k.StaleWhileRevalidate },
		"cache_errors": func(k worker.Cache) time.Duration { return k.ErrorTTL },
	}
	const hint = ` is no duration; write it like "500ms", "30s" or "1h30m", or "forever"`
	for key, get := range of {
		for text, want := range map[string]time.Duration{
			`"1h30m"`: 90 * time.Minute, `"forever"`: worker.Forever, `"2562047h47m16.854775807s"`: worker.Forever,
		} {
			kinds, err := kindsOf(t, "[kind.a]\nsource = 'random'\n"+key+" = "+text)
			cache, _ := kinds["a"].(worker.Cache)
			if err != nil || get(cache) != want {
				t.Errorf("%s = %s: %v, %v, want %v", key, text, get(cache), err, want)
			}
		}
		for text, want := range map[string]string{
			`5`: `5 has no unit; for seconds write "5s"`, `0`: `0 has no unit; for seconds write "0s"`, `0.5`: `0.5 has no unit; for seconds write "0.5s"`,
			`"-5s"`: `"-5s"` + hint, `"5"`: `"5"` + hint, `""`: `""` + hint, `"9999999h"`: `"9999999h"` + hint, `true`: `true` + hint,
		} {
			_, err := kindsOf(t, "[kind.a]\nsource = 'random'\n"+key+" = "+text)
			if want = "config.toml:3: kind.a." + key + ": " + want; err == nil || err.Error() != want {
				t.Errorf("%s = %s: error %q, want %q", key, text, err, want)
			}
		}
	}
}
