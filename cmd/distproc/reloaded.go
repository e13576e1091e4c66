package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/file"
)

// reload reads the files of n again at every SIGHUP, until ctx ends: --config, the cookies
// and those of TLS.
func (m *member) reload(ctx context.Context, n *running, hangups <-chan struct{}, log *slog.Logger) {
	var all []*reloader
	if m.kinds != "" {
		all = append(all, m.configReloader(n, log))
	}
	if n.cookies.source != cookieVariable {
		all = append(all, n.cookies.reloader(n.Node, log))
	}
	if m.tls.Cert != "" {
		all = append(all, m.tlsReloader(n.ReloadTLS, log))
	}
	reload(ctx, hangups, log, all...)
}

// configReloader returns what reads --config.
func (m *member) configReloader(n *running, log *slog.Logger) *reloader {
	log = log.With("file", m.kinds)
	now := m.fromFile()
	told := map[string]string{} // by flag: the value in the file that waits for a restart
	return &reloader{
		what: "the kinds and settings", log: log,
		read: func() ([]byte, error) { return file.Read(m.kinds, maxConfig) },
		parse: func(data []byte) (change, error) {
			kinds, settings, errs := parseConfig(data, m.kinds, nameOf(m.name))
			if len(errs) > 0 {
				return change{}, errs[0]
			}
			next, err := m.with(settings)
			if err != nil {
				return change{}, err
			}
			c := m.kindsChange(kinds, n.SetKinds, log)
			setKinds, toldKinds := c.apply, c.told
			c.apply = func() error {
				before := m.def
				m.def = next.def
				if err := setKinds(); err != nil {
					m.def = before
					return err
				}
				return nil
			}
			c.told = func() {
				toldKinds()
				m.settle(next, now, told, log)
			}
			return c, nil
		},
	}
}

// kindsChange returns the change to the kinds of a file.
func (m *member) kindsChange(kinds map[string]worker.Kind, apply func(map[string]worker.Kind) error, log *slog.Logger) change {
	gone := slices.DeleteFunc(slices.Clone(m.inFile), func(name string) bool { _, ok := kinds[name]; return ok })
	return change{
		gone:  gone,
		apply: func() error { return apply(m.withDefault(kinds)) },
		told: func() {
			m.inFile = slices.Sorted(maps.Keys(kinds))
			log.Info("kinds changed", "by", "SIGHUP", "names", m.inFile)
			if len(gone) > 0 {
				log.Warn("kinds are gone: the file no longer has them", "kinds", gone)
			}
		},
	}
}

// atReload has the flags whose settings in a file take effect at SIGHUP, and how: kinds read
// next.def. All others need a restart.
var atReload = map[string]func(m, next *member){
	"source":    func(m, next *member) { m.source = next.source },
	"ttl":       func(m, next *member) { m.ttl = next.ttl },
	"log-level": func(m, next *member) { m.logLevel = next.logLevel; m.logFrom.Set(next.logFrom.Level()) },
}

// fromFile returns the values of the flags that a file may set, by name.
func (m *member) fromFile() map[string]string {
	values := map[string]string{}
	m.flags.VisitAll(func(f *pflag.Flag) {
		if isFileSetting(f) {
			values[f.Name] = f.Value.String()
		}
	})
	return values
}

// with returns the member of the same command line and environment with other settings in
// its file. The error says which of them makes no sense.
func (m *member) with(settings []setting) (*member, error) {
	next := &member{}
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	next.register(flags, m.flags.Lookup("log-level").DefValue)
	var err error
	m.flags.VisitAll(func(f *pflag.Flag) {
		to := flags.Lookup(f.Name)
		if from, _ := originOf(f); to == nil || err != nil || from != fromFlag && from != fromVariable {
			return
		}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			err = to.Value.(pflag.SliceValue).Replace(many.GetSlice())
		} else if text := f.Value.String(); text != to.Value.String() {
			err = to.Value.Set(text)
		}
		to.Changed, to.Annotations = true, f.Annotations
	})
	if err == nil {
		err = applySettings(settings, flags, m.kinds)
	}
	if err == nil {
		_, err = next.settings()
	}
	if err == nil {
		var level slog.Level
		level, err = next.level()
		next.logFrom.Set(level)
	}
	return next, err
}

// settle has the settings of a file take effect that can, and logs once of each other one
// that differs from what the node runs with.
func (m *member) settle(next *member, now, told map[string]string, log *slog.Logger) {
	for _, flag := range slices.Sorted(maps.Keys(now)) {
		f := next.flags.Lookup(flag)
		if f == nil { // of the shell
			continue
		}
		value := f.Value.String()
		switch apply := atReload[flag]; {
		case value == now[flag]:
			delete(told, flag)
		case apply != nil:
			apply(m, next)
			log.Info("setting changed", "by", "SIGHUP", "key", keyOf(flag), "from", now[flag], "to", value)
			now[flag] = value
		case told[flag] != value:
			told[flag] = value
			log.Warn("a setting has changed, and needs a restart of the node", "key", keyOf(flag), "from", now[flag], "to", value)
		}
	}
}

// nodeCookies are the cookies of a running node.
type nodeCookies struct {
	list   [][]byte
	source string // a file, or DISTPROC_COOKIE
	shell  []byte // what the shell of the node proves, or nil; no other node knows it
}

// others returns what the node accepts besides the first cookie.
func (c *nodeCookies) others() [][]byte {
	if c.shell == nil {
		return c.list[1:]
	}
	return append(slices.Clone(c.list[1:]), c.shell)
}

// reloader returns what reads the cookies.
func (c *nodeCookies) reloader(n *node.Node, log *slog.Logger) *reloader {
	log = log.With("file", c.source)
	return &reloader{
		what: "the cookies", log: log,
		read: func() ([]byte, error) {
			list, err := node.ReadCookies(c.source)
			return bytes.Join(list, []byte("\n")), err
		},
		parse: func(data []byte) (change, error) {
			before, list := c.list, bytes.Split(data, []byte("\n"))
			if slices.EqualFunc(before, list, bytes.Equal) {
				return change{apply: func() error { return nil }, told: func() {}}, nil
			}
			return change{
				apply: func() error {
					next := nodeCookies{list: list, shell: c.shell}
					if err := n.SetCookies(list[0], next.others()...); err != nil {
						return err
					}
					c.list = list
					return nil
				},
				told: func() {
					shown := "the same"
					if !bytes.Equal(before[0], list[0]) {
						shown = "another one"
					}
					log.Info("cookies changed", "by", "SIGHUP", "accepted", len(list), "shown", shown)
				},
			}, nil
		},
	}
}

// tlsReloader returns what reads the files of TLS. It keeps no key.
func (m *member) tlsReloader(apply func() error, log *slog.Logger) *reloader {
	read := func() ([]byte, error) {
		var sums []byte
		for _, path := range []string{m.tls.Cert, m.tls.Key, m.tls.CA} {
			text, err := file.Read(path, maxConfig)
			if err != nil {
				return nil, err
			}
			sums = fmt.Appendf(sums, "%x\n", sha256.Sum256(text))
		}
		return sums, nil
	}
	applied, _ := read() // the node has just read them
	return &reloader{
		what: "the certificates", log: log, read: read,
		parse: func(data []byte) (change, error) {
			if bytes.Equal(data, applied) {
				return change{apply: func() error { return nil }, told: func() {}}, nil
			}
			return change{apply: apply, told: func() {
				applied = data
				if m.shellTLS != nil {
					m.shellTLS()
				}
				log.Info("certificates changed", "by", "SIGHUP", "cert", m.tls.Cert, "ca", m.tls.CA)
			}}, nil
		},
	}
}
