package repl

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/bench"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

const (
	maxCallers   = 1024
	maxBench     = time.Minute
	benchTimeout = 5 * time.Second // of a request
)

// bench makes load, and shows what came of it. A key or Ctrl-C ends it early.
func (sh *Shell) bench(r *request) (starlark.Value, error) {
	var kind string
	callers, ids := 50, 1000
	var seconds, message starlark.Value = starlark.MakeInt(5), nil
	if err := r.unpack("kind?", &kind, "callers?", &callers, "seconds?", &seconds, "ids?", &ids, "message?", &message); err != nil {
		return nil, err
	}
	d, err := toDuration(seconds)
	switch {
	case err != nil:
		err = fmt.Errorf("seconds is %w", err)
	case d < time.Millisecond || d > maxBench:
		err = fmt.Errorf("seconds is %s; it takes up to %d s", seconds, maxBench/time.Second)
	case callers < 1 || callers > maxCallers:
		err = fmt.Errorf("callers is %d; there are 1 to %d", callers, maxCallers)
	case ids < 1:
		err = fmt.Errorf("ids is %d; it asks for the ids from 0 to ids-1", ids)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	ask, err := sh.benchAsk(kind, message)
	if err != nil {
		return nil, err
	}
	timeout := benchTimeout
	if sh.settings.timeout > 0 {
		timeout = sh.settings.timeout
	}
	load := bench.Config{Concurrency: callers, Batch: 1, Duration: d, IDs: int64(ids), Seed: rand.Uint64(), Timeout: timeout}
	result, perSecond, err := sh.runBench(r.ctx, load, ask)
	if err != nil {
		return nil, err
	}
	a := benched(result, perSecond)
	if r.ctx.Err() != nil { // without a terminal Ctrl-C ends the program, too
		sh.println(a.styled(sh.style))
		return nil, r.ctx.Err()
	}
	return a, nil
}

// benchAsk returns how to make a request, or a call with a message.
func (sh *Shell) benchAsk(kind string, message starlark.Value) (bench.Ask, error) {
	family := sh.cluster.Family(kind)
	if message == nil || message == starlark.None {
		return family.Request, nil
	}
	m, err := toMessage(message)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return func(ctx context.Context, id worker.ID) (worker.Reply, error) { return family.Call(ctx, id, m) }, nil
}

// runBench makes the load. It returns also the answers of each second that has passed.
func (sh *Shell) runBench(ctx context.Context, load bench.Config, ask bench.Ask) (result *bench.Result, perSecond []float64, err error) {
	err = sh.untilKey(context.WithoutCancel(ctx), func(key context.Context) error {
		if sh.cols() > 0 {
			sh.println(sh.style.odd(fmt.Sprintf("(%s for %s; a key or Ctrl-C ends it)", counted(load.Concurrency, "caller", "callers"), load.Duration)))
		}
		run, stop := context.WithCancel(ctx) // ends with the input, or at a key
		defer stop()
		defer context.AfterFunc(key, stop)()
		limited, giveUp := context.WithCancel(worker.WithTimeLimit(context.Background(), load.Timeout))
		defer giveUp()
		load.GiveUp = giveUp
		load.Asks = []bench.Ask{func(_ context.Context, id worker.ID) (worker.Reply, error) { return ask(limited, id) }}
		var last bench.Progress
		load.Watch = func(p bench.Progress) {
			if took := p.Elapsed - last.Elapsed; took >= time.Second {
				perSecond = append(perSecond, float64(p.Requests-last.Requests)/took.Seconds())
				last = p
			}
		}
		result = bench.Run(run, load)
		if took := result.Elapsed - last.Elapsed; took >= time.Second/2 {
			perSecond = append(perSecond, float64(result.Requests-last.Requests)/took.Seconds())
		}
		return nil
	})
	return result, perSecond, err
}

// benched describes the result.
func benched(r *bench.Result, perSecond []float64) *account {
	a := &account{kind: "bench"}
	p50, p99, most := r.Quantile(50), r.Quantile(99), r.Quantile(100)
	rates := make([]starlark.Value, len(perSecond))
	for i, n := range perSecond {
		rates[i] = starlark.Float(n)
	}
	a.set("requests", starlark.MakeInt64(r.Requests))
	a.set("errors", starlark.MakeInt64(r.Errors()))
	a.set("cached", starlark.MakeInt64(r.Cached))
	a.set("degraded", starlark.MakeInt64(r.Degraded))
	a.set("rate", starlark.Float(r.PerSecond()))
	a.set("p50", duration(p50))
	a.set("p99", duration(p99))
	a.set("max", duration(most))
	a.set("per_second", starlark.NewList(rates))
	early := ""
	if r.Interrupted {
		early = ", ended early"
	}
	a.say("requests", fmt.Sprintf("%d in %s%s", r.Requests, shortly(r.Elapsed), early))
	a.say("rate", fmt.Sprintf("%.0f answers per second", r.PerSecond()))
	a.say("latency", fmt.Sprintf("p50 %s, p99 %s, max %s", duration(p50), duration(p99), duration(most)))
	if r.Degraded > 0 {
		a.say("degraded", fmt.Sprint(r.Degraded))
	}
	a.say("errors", fmt.Sprint(r.Errors()))
	for f, failed := range r.Failures {
		a.say("  of these", fmt.Sprintf("%d %s, %s", failed.Count, f.Outcome, failed.Example))
	}
	if r.Unanswered > 0 {
		a.say("unanswered", fmt.Sprintf("%d, given up when it ended", r.Unanswered))
	}
	if len(perSecond) > 1 {
		a.say("per second", sparkLine(perSecond))
	}
	return a
}

// sparkLine draws rates, of which there is at most one for each second.
func sparkLine(rates []float64) string {
	most := slices.Max(rates)
	return fmt.Sprintf("%s min %.0f, max %.0f", text.Spark(text.Squeeze(rates, maxBar), 0, most, asciiOnly()), slices.Min(rates), most)
}
