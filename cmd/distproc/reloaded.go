package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/file"
)

// reload reads the files of n again at every SIGHUP, until ctx ends: --config, the cookies
// and those of TLS.
func (m *member) reload(ctx context.Context, n *running, hangups <-chan struct{}, log *slog.Logger) {
	var all []*reloader
	if m.kinds != "" {
		all = append(all, m.kindsReloader(n.SetKinds, log))
	}
	if n.cookies.source != cookieVariable {
		all = append(all, n.cookies.reloader(n.Node, log))
	}
	if m.tls.Cert != "" {
		all = append(all, m.tlsReloader(n.ReloadTLS, log))
	}
	reload(ctx, hangups, log, all...)
}

// kindsReloader returns what reads the kinds of --config.
func (m *member) kindsReloader(apply func(map[string]worker.Kind) error, log *slog.Logger) *reloader {
	log = log.With("file", m.kinds)
	return &reloader{
		what: "the kinds", log: log,
		read: func() ([]byte, error) { return file.Read(m.kinds, maxConfig) },
		parse: func(data []byte) (change, error) {
			kinds, err := m.parseKinds(data)
			return m.kindsChange(kinds, apply, log), err
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
				log.Info("certificates changed", "by", "SIGHUP", "cert", m.tls.Cert, "ca", m.tls.CA)
			}}, nil
		},
	}
}
