package main

import (
	"context"
	"strconv"
	"time"

	"github.com/tochemey/goakt/v4/actor"

	"github.com/distproc/distproc/node/worker"
)

// serialCalls compares calls to something of this process that takes them one after the
// other.
func (b *bench) serialCalls(ctx context.Context) (g group, err error) {
	g.title = "Serial call, same process"
	g.loads = []load{{"1 caller", 1, 1}, {"64 of one id", 64, 1}, {"64 of an id each", 64, 64}}
	n, err := startNode(ctx, first, "")
	if err != nil {
		return g, err
	}
	b.closers = append(b.closers, func() { _ = n.Close(context.Background()) })
	var ids []worker.ID
	for i := range 64 {
		ids = append(ids, worker.IntID(int64(i)))
	}
	g.ours = []contender{
		called("`worker.Serial`", "serial", n, first, ids),
		called("`worker.Serial`, `Inline`", "inline", n, first, ids),
	}
	grains, err := b.grains(ctx)
	if err != nil {
		return g, err
	}
	g.peers = []contender{b.channels(), grains}
	if b.with("Erlang") {
		local, err := b.erlang(ctx, false)
		if err != nil {
			return g, err
		}
		g.peers = append(g.peers, local)
	}
	return g, nil
}

// channels measures goroutines that are called by a channel each.
func (b *bench) channels() contender {
	type request struct {
		message string
		answer  chan<- string
	}
	var channels []chan request
	for range 64 {
		c := make(chan request)
		go func() {
			for r := range c {
				r.answer <- r.message
			}
		}()
		b.closers = append(b.closers, func() { close(c) })
		channels = append(channels, c)
	}
	return inGo("a channel", func(caller int, l load) func() error {
		next, m, answer := turns(caller, l), message(caller), make(chan string, 1)
		return func() error {
			channels[next()] <- request{m, answer}
			if a := <-answer; a != m {
				return unexpected(a, m)
			}
			return nil
		}
	})
}

// grains measures asking grains of GoAkt, which has neither remoting nor a cluster here.
func (b *bench) grains(ctx context.Context) (contender, error) {
	system, err := actor.NewActorSystem("peers", actor.WithLoggingDisabled())
	if err != nil {
		return contender{}, err
	}
	if err := system.Start(ctx); err != nil {
		return contender{}, err
	}
	b.closers = append(b.closers, func() { _ = system.Stop(context.Background()) })
	factory := func(context.Context) (actor.Grain, error) { return &grain{}, nil }
	var grains []*actor.GrainIdentity
	for i := range 64 {
		g, err := system.GrainIdentity(ctx, strconv.Itoa(i), factory, actor.WithLongLivedGrain())
		if err != nil {
			return contender{}, err
		}
		grains = append(grains, g)
	}
	return inGo("GoAkt's `AskGrain`", func(caller int, l load) func() error {
		next, m := turns(caller, l), message(caller)
		return func() error {
			a, err := system.AskGrain(context.Background(), grains[next()], m, 5*time.Second)
			if err == nil && a != m {
				err = unexpected(a, m)
			}
			return err
		}
	}), nil
}

// A grain answers a message with the message.
type grain struct{}

// OnActivate implements [actor.Grain].
func (*grain) OnActivate(context.Context, *actor.GrainProps) error { return nil }

// OnReceive implements [actor.Grain].
func (*grain) OnReceive(ctx *actor.GrainContext) { ctx.Response(ctx.Message()) }

// OnDeactivate implements [actor.Grain].
func (*grain) OnDeactivate(context.Context, *actor.GrainProps) error { return nil }
