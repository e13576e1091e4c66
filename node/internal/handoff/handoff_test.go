package handoff

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A post is a destination that records what is sent to it.
type post struct {
	mu       sync.Mutex
	messages map[string][][]registry.Answer // by destination
	busy     map[string]bool
	took     time.Duration // by each message
	err      error
	target   func(worker.ID) (string, bool)
	hurries  bool
}

func (p *post) Target(id worker.ID) (string, bool) { return p.target(id) }

func (p *post) Hurries() bool { return p.hurries }

func (p *post) Send(ctx context.Context, dest string, list []registry.Answer) error {
	p.mu.Lock()
	overlap := p.busy[dest]
	p.busy[dest] = true
	took, err := p.took, p.err
	p.mu.Unlock()
	if overlap {
		panic("two messages to one destination at the same time")
	}
	if !clock.Sleep(ctx, took) {
		err = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy[dest] = false
	if err == nil {
		p.messages[dest] = append(p.messages[dest], slices.Clone(list))
	}
	return err
}

// inPost runs a test in a bubble of false time with a hand-over that sends even ids to a,
// odd ones to b.
func inPost(t *testing.T, test func(t *testing.T, h *Queue, p *post)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &post{messages: map[string][][]registry.Answer{}, busy: map[string]bool{}}
		p.target = func(id worker.ID) (string, bool) { return []string{"a", "b"}[num(id)&1], true }
		h := New(p)
		test(t, h, p)
		h.Close()
		if h.held != (volume{}) {
			t.Errorf("%+v held at the end", h.held)
		}
	})
}

// answers returns n answers of the ids that follow first.
func answers(first, n int, data string) (list []registry.Answer) {
	for i := range n {
		list = append(list, registry.Answer{ID: worker.IntID(int64(first + i)), Data: data, Age: time.Second, Left: time.Minute})
	}
	return list
}

func (h *Queue) check(t *testing.T, sent, lost uint64) {
	t.Helper()
	if s, l := h.Stats(); s != sent || l != lost {
		t.Errorf("%d sent and %d lost, want %d and %d", s, l, sent, lost)
	}
}

// TestHandOffMessages checks that messages are no larger than they may be, and fit the
// wire.
func TestHandOffMessages(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		long, _ := worker.ParseID(strings.Repeat("i", worker.MaxIDLen))
		p.target = func(id worker.ID) (string, bool) {
			return []string{"even", "odd", "long"}[num(id)&1+int64(len(id.String()))/worker.MaxIDLen], true
		}
		p.took = time.Second
		small, large := answers(0, 10_000, "1"), answers(0, 200, strings.Repeat("x", 20_000))
		huge := registry.Answer{ID: long, Data: strings.Repeat("x", wire.MaxValue), Left: time.Hour}
		for range 3 {
			h.Add([]registry.Answer{huge})
		}
		h.Add(small)
		h.Add(large)
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.check(t, 10_203, 0)
		for dest, messages := range p.messages {
			for i, list := range messages {
				var b bytes.Buffer
				if err := gob.NewEncoder(&b).Encode(list); err != nil {
					t.Fatal(err)
				}
				for _, size := range []int{len(appendAnswers(nil, list)), b.Len()} { // of today, and for an older node
					if len(list) > MaxAnswers || size > maxBytes+1000 && len(list) > 1 || size > wire.MaxMessage-1000 {
						t.Errorf("message %d to %s has %d answers and %d bytes", i, dest, len(list), size)
					}
				}
			}
		}
		// The first one took a second, so the others may be as large as a message can be.
		if n := len(p.messages["even"]); n != 6 {
			t.Errorf("%d messages for 5,000 small answers and 2 MB of large ones, want 6", n)
		}
	})
}

// TestHandOffWaits has answers wait for a message that takes a second: they are older by
// then, and some expire.
func TestHandOffWaits(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		p.took = time.Second
		h.Add(answers(0, 1, "1"))
		synctest.Wait()
		h.Add([]registry.Answer{{ID: worker.IntID(2), Age: time.Second, Left: time.Second}, {ID: worker.IntID(4), Age: time.Second, Left: time.Second + 1}})
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := registry.Answer{ID: worker.IntID(4), Age: 2 * time.Second, Left: 1}
		if m := p.messages["a"]; len(m) != 2 || len(m[1]) != 1 || m[1][0] != want {
			t.Errorf("sent %+v, want %+v last", m, want)
		}
		h.check(t, 2, 0)
	})
}

// TestHandOffReroutes changes the view while answers wait: they go where they belong
// then, or are lost.
func TestHandOffReroutes(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		var moved atomic.Bool
		p.target = func(id worker.ID) (string, bool) {
			if !moved.Load() {
				return "a", true
			}
			return "b", num(id) < 5
		}
		p.took = time.Second
		h.Add(answers(0, 1, "1"))
		synctest.Wait()
		h.Add(answers(1, 6, "1"))
		moved.Store(true)
		time.Sleep(time.Second / 2)
		h.Add(answers(7, 1, "1"))
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a, b := p.messages["a"], p.messages["b"]; len(a) != 1 || len(b) != 1 || len(b[0]) != 4 || b[0][0].Age != 2*time.Second {
			t.Errorf("sent %+v", p.messages)
		}
		h.check(t, 5, 3)
	})
}

// TestHandOffGivesUp has a destination that takes nothing: each message is given up after
// 2 s, and the other destination is served at once.
func TestHandOffGivesUp(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		p.took = time.Hour
		h.Add(answers(0, 1, "1"))
		synctest.Wait()
		p.took = 0
		h.Add(answers(1, 1, "1"))
		synctest.Wait()
		h.check(t, 1, 0)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush = %v while a message is being sent", err)
		}
		if err := h.Flush(t.Context()); err != nil || time.Since(start) != registry.AnswerTimeout {
			t.Errorf("flush = %v after %v", err, time.Since(start))
		}
		p.err = errors.New("refused")
		h.Add(answers(0, 10, "1"))
		h.Flush(t.Context())
		h.check(t, 1, 11)
	})
}

// TestHandOffOverflows gives more than may wait.
func TestHandOffOverflows(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		p.took = time.Second
		h.Add(answers(0, maxQueue, ""))
		synctest.Wait() // two messages are on their way, and still count
		h.Add(answers(0, 5, ""))
		h.check(t, 0, 5)
		time.Sleep(time.Second)
		synctest.Wait()
		sent, _ := h.Stats() // few, if they left before all had been added
		h.Add(answers(0, int(sent)+7, ""))
		h.check(t, sent, 12)
		p.mu.Lock()
		p.took = 0
		p.mu.Unlock()
		h.Flush(t.Context())
		h.check(t, maxQueue+sent, 12)

		p.took = time.Second
		value := strings.Repeat("x", 1<<20) // one in memory
		h.Add(answers(0, 70, value))
		h.check(t, maxQueue+sent, 12+7)
	})
}

// TestHandOffRests has many answers for a node that is near, and one that is far: messages
// to the first one are small, with a pause after each, and those to the other one are as
// large as the way is long.
func TestHandOffRests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		took     time.Duration
		messages int           // for 4,000 answers
		all      time.Duration // that these take
	}{
		{0, 16, 15 * messagePause},
		{time.Millisecond, 16, 16*time.Millisecond + 15*messagePause},
		{50 * time.Millisecond, 1 + 3, 4*50*time.Millisecond + 3*messagePause},
	} {
		inPost(t, func(t *testing.T, h *Queue, p *post) {
			p.target = func(worker.ID) (string, bool) { return "a", true }
			p.took = test.took
			began := time.Now()
			h.Add(answers(0, 4000, ""))
			if err := h.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.check(t, 4000, 0)
			if n, took := len(p.messages["a"]), time.Since(began); n != test.messages || took != test.all {
				t.Errorf("%d messages in %v, want %d in %v, if each takes %v", n, took, test.messages, test.all, test.took)
			}
		})
	}
}

// TestHandOffHurries has a node leave: there is no pause between messages, and those to a
// node that is far are as large as they may be once that is known.
func TestHandOffHurries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		took     time.Duration
		messages int // for three of the largest, at most
	}{
		{time.Millisecond, 3 * MaxAnswers / fewAnswers},
		{10 * time.Millisecond, 1 + 10},
		{50 * time.Millisecond, 1 + 3},
	} {
		inPost(t, func(t *testing.T, h *Queue, p *post) {
			p.target = func(worker.ID) (string, bool) { return "a", true }
			p.hurries, p.took = true, test.took
			began := time.Now()
			h.Add(answers(0, 3*MaxAnswers, ""))
			if err := h.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, took := len(p.messages["a"]), time.Since(began); n > test.messages || took != time.Duration(n)*p.took {
				t.Errorf("%d messages in %v, want %d at most, of %v each", n, took, test.messages, p.took)
			}
		})
	}
}

// TestHandOffAfterFailure has the first message to a node that is far fail at once: the
// next ones are large all the same.
func TestHandOffAfterFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &farAway{}
		h := New(p)
		defer h.Close()
		h.Add(answers(0, 20*fewAnswers, ""))
		if err := h.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p.messages > 6 { // one that fails, one to see how long it takes, and some with all that is left
			t.Errorf("%d messages, want 6 at most", p.messages)
		}
	})
}

// A farAway destination cannot be reached at first, and then takes 50 ms for each message.
type farAway struct{ messages int }

func (*farAway) Target(worker.ID) (string, bool) { return "a", true }
func (*farAway) Hurries() bool                   { return false }

func (p *farAway) Send(context.Context, string, []registry.Answer) error {
	if p.messages++; p.messages == 1 {
		time.Sleep(time.Microsecond)
		return errors.New("it cannot be reached")
	}
	time.Sleep(50 * time.Millisecond)
	return nil
}

// TestHandOffDrains waits for a destination that is slow, and gives one up that takes
// nothing.
func TestHandOffDrains(t *testing.T) {
	t.Parallel()
	const patience = 300 * time.Millisecond
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		p.target = func(worker.ID) (string, bool) { return "a", true }
		p.took = patience / 2
		h.Add(answers(0, 3*MaxAnswers, ""))
		if err := h.Drain(t.Context(), patience); err != nil {
			t.Errorf("drain = %v, though answers leave all the time", err)
		}
		h.check(t, 3*MaxAnswers, 0)
		p.took = time.Second
		h.Add(answers(0, 1, ""))
		began := time.Now()
		if err := h.Drain(t.Context(), patience); err == nil || time.Since(began) != patience {
			t.Errorf("drain = %v after %v, want an error after %v", err, time.Since(began), patience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		if err := h.Drain(ctx, patience); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain = %v after its context has ended", err)
		}
	})
}

// TestHandOffMany moves more workers than may wait, and then has their node leave: the
// registry waits for room, and no answer is lost.
func TestHandOffMany(t *testing.T) {
	t.Parallel()
	const many = maxQueue + 3*roomAnswers
	synctest.Test(t, func(t *testing.T) {
		kind := worker.Cache{TTL: time.Hour, Load: worker.RandomSource, Inline: true}
		b := newSwitchboard([2]worker.Kind{kind, kind}, time.Millisecond)
		defer b.close(t)
		for i := range int64(many) {
			if _, err := b.request(t.Context(), worker.IntID(2*i)); err != nil {
				t.Fatal(err)
			}
		}
		b.move()
		b.flush(t)
		b.hands[0].check(t, many, 0)
		if live, _, _ := b.regs[1].Count(); live != many {
			t.Errorf("%d of %d workers have moved", live, many)
		}
		b.turn.Add(1)
		b.regs[1].Leave(t.Context())
		b.flush(t)
		b.hands[1].check(t, many, 0)
		if live, _, _ := b.regs[0].Count(); live != many {
			t.Errorf("%d of %d workers have gone to the other node", live, many)
		}

		// With no time to wait for room, only as many leave as may wait.
		b.turn.Add(1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		b.regs[0].Leave(ended)
		if _, lost := b.hands[0].Stats(); lost != many-maxQueue {
			t.Errorf("%d lost, want %d", lost, many-maxQueue)
		}
	})
}

// TestHandOffCloses closes while a message is being sent and more wait.
func TestHandOffCloses(t *testing.T) {
	t.Parallel()
	inPost(t, func(t *testing.T, h *Queue, p *post) {
		if err := h.Flush(t.Context()); err != nil {
			t.Errorf("flush = %v of nothing", err)
		}
		p.took = time.Hour
		h.Add(answers(0, 2*MaxAnswers+2, "1"))
		synctest.Wait()
		h.Add(answers(0, 3, "1"))
		start := time.Now()
		h.Close()
		h.Close()
		if time.Since(start) != 0 {
			t.Errorf("close took %v", time.Since(start))
		}
		h.Add(answers(0, 4, "1"))
		h.check(t, 0, 2*MaxAnswers+2+3+4)
		if err := h.Flush(t.Context()); err != nil {
			t.Errorf("flush = %v after close", err)
		}
	})
}
