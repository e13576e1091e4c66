package main

import (
	"context"
	"fmt"
	"net"
	"net/http" //nolint:depguard // what groupcache uses
	"strconv"
	"time"

	"github.com/golang/groupcache"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// caches compares reads of values that another process has.
func (b *bench) caches(ctx context.Context) (g group, err error) {
	g.title, g.loads = "Read of a cache in another process", remote
	n, ids, err := b.twoNodes(ctx)
	if err != nil {
		return g, err
	}
	g.ours = []contender{cached(n, second, ids)}
	c, err := b.groupcache(ctx)
	if err != nil {
		return g, err
	}
	g.peers = []contender{c}
	if b.with("Redis") {
		clients, err := b.redis(ctx)
		if err != nil {
			return g, err
		}
		g.peers = append(g.peers, clients...)
	}
	return g, nil
}

// reads measures reads of the values of all keys.
func reads(name string, get func(key string) (string, error)) contender {
	var ids, want []string
	for i := range keys {
		ids = append(ids, strconv.Itoa(i))
		want = append(want, value(ids[i]))
	}
	return inGo(name, func(caller int, l load) func() error {
		next := turns(caller, l)
		return func() error {
			i := next()
			v, err := get(ids[i])
			if err == nil && v != want[i] {
				err = unexpected(v, want[i])
			}
			return err
		}
	})
}

// groupcache measures a group of which another process owns all keys, because it is the
// only peer. The group of this process may keep 0 bytes, so it has neither a main nor a
// hot cache, and its getter, which would be the way around the other process, fails. But
// callers that read a key at the same moment share one crossing, so what counts is the
// crossings.
func (b *bench) groupcache(ctx context.Context) (contender, error) {
	addr, err := b.serve(ctx, "groupcache")
	if err != nil {
		return contender{}, err
	}
	pool := groupcache.NewHTTPPoolOpts("http://127.0.0.1", nil)
	transport := &http.Transport{MaxIdleConnsPerHost: 1024} // otherwise it dials for most reads
	pool.Transport = func(context.Context) http.RoundTripper { return transport }
	pool.Set("http://" + addr) // it takes the Transport
	b.closers = append(b.closers, transport.CloseIdleConnections)
	g := groupcache.NewGroup("values", 0, groupcache.GetterFunc(func(_ context.Context, key string, _ groupcache.Sink) error {
		return fmt.Errorf("%s was looked for in this process", key)
	}))
	c := reads("groupcache", func(key string) (v string, err error) {
		return v, g.Get(ctx, key, groupcache.StringSink(&v))
	})
	rate := c.rate
	c.rate = func(ctx context.Context, l load, d time.Duration) (float64, error) {
		gets, crossed := g.Stats.Gets.Get(), g.Stats.PeerLoads.Get()
		perSecond, err := rate(ctx, l, d)
		gets, crossed = g.Stats.Gets.Get()-gets, g.Stats.PeerLoads.Get()-crossed
		if err == nil && crossed < gets/2 {
			err = fmt.Errorf("of %d reads %d crossed to the other process", gets, crossed)
		}
		return perSecond * float64(crossed) / float64(gets), err
	}
	return c, nil
}

// serveGroupcache serves a group that keeps all values.
func serveGroupcache(context.Context, []string) (addr string, done func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	self := "http://" + l.Addr().String()
	pool := groupcache.NewHTTPPoolOpts(self, nil)
	pool.Set(self)
	groupcache.NewGroup("values", 64<<20, groupcache.GetterFunc(func(_ context.Context, key string, s groupcache.Sink) error {
		return s.SetString(value(key))
	}))
	return serveHandler(l, pool)
}

// redis measures a Redis that writes nothing to disk, with a client that has a connection
// for each call in flight, and with one that puts all calls on few connections.
func (b *bench) redis(ctx context.Context) ([]contender, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	addr, err := b.serve(ctx, "program", "127.0.0.1:"+port,
		"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--loglevel", "warning")
	if err != nil {
		return nil, err
	}
	each := redis.NewClient(&redis.Options{Addr: addr, PoolSize: 1024})
	b.closers = append(b.closers, func() { _ = each.Close() })
	for i := range keys {
		key := strconv.Itoa(i)
		if err := each.Set(ctx, key, value(key), 0).Err(); err != nil {
			return nil, err
		}
	}
	shared, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, DisableRetry: true})
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, shared.Close)
	return []contender{
		reads("Redis, go-redis", func(key string) (string, error) { return each.Get(context.Background(), key).Result() }),
		reads("Redis, rueidis (pipelined)", func(key string) (string, error) {
			return shared.Do(context.Background(), shared.B().Get().Key(key).Build()).ToString()
		}),
	}, nil
}
