package wire

import (
	"io"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestHeldValues(t *testing.T) {
	t.Parallel()
	const limit = 4 * heldAtLeast
	h := heldValues{limit: limit, share: limit}
	var mine holding
	tooLong := strings.Repeat("x", limit+1)
	all, part := tooLong[:limit], tooLong[:limit/2]
	other := strings.Repeat("y", heldAtLeast)
	for range 3 {
		if !h.take(part, &mine) || !h.take(all, &mine) || !h.take(part, &mine) {
			t.Fatal("no room for one value")
		}
		if h.bytes != limit {
			t.Fatalf("%d bytes are held, want %d", h.bytes, limit)
		}
		if h.take(other, &mine) || h.take(tooLong, &mine) {
			t.Fatal("room for more than may be held")
		}
		if !h.take(other[:heldAtLeast-1], &mine) {
			t.Fatal("no room for what does not count")
		}
		h.release(part)
		h.release(all)
		h.release(part)
		h.release(other[:heldAtLeast-1])
		if h.bytes != 0 || h.uses != nil || mine.bytes != 0 {
			t.Fatalf("%d bytes are held at the end, %v", h.bytes, h.uses)
		}
	}
}

// TestHeldShare has one session fill half of what may be held: it gets no more than its
// share then, while others do.
func TestHeldShare(t *testing.T) {
	t.Parallel()
	const size, share = heldAtLeast, 2 * heldAtLeast
	h := heldValues{limit: 20 * size, share: share}
	text := strings.Repeat("x", 30*size)
	value := func(i int) string { return text[i*size:][:size] }
	var greedy, modest holding
	taken := 0
	for i := range 20 {
		if h.take(value(i), &greedy) {
			taken++
		}
	}
	if taken != 10 {
		t.Fatalf("one session holds %d of 20", taken)
	}
	if !h.take(value(0), &modest) || modest.bytes != 0 {
		t.Error("no room for another use of a value")
	}
	for i := range 2 {
		if !h.take(value(20+i), &modest) {
			t.Error("no room for another session's share")
		}
	}
	if h.take(value(22), &modest) {
		t.Error("room for more than its share")
	}
	h.release(value(0)) // it has another use
	if greedy.bytes != 10*size {
		t.Errorf("the first session holds %d bytes", greedy.bytes)
	}
	h.release(value(0))
	if greedy.bytes != 9*size || h.bytes != 11*size {
		t.Errorf("after a release: %d bytes of the first session, %d in all", greedy.bytes, h.bytes)
	}
}

// TestAnswersToTheDead has a peer ask for 3 GB of answers and die: none of them is kept,
// neither those that come while it dies nor later ones.
func TestAnswersToTheDead(t *testing.T) {
	const calls = 3000
	big := strings.Repeat("x", MaxValue)
	for _, when := range []string{"as they come", "later"} {
		bubble(t, func(t *testing.T) {
			near, far := net.Pipe()
			begun, came := make(chan struct{}, calls), make(chan Call, calls)
			reply := func(c Call) { c.Reply(&Reply{Data: big}) }
			mux, victim := rawPeerOn(t, near, far, handler{call: func(c Call) {
				begun <- struct{}{}
				if when != "later" {
					<-c.to.session.Done() // a whole message is served after the end
					reply(c)
				}
				came <- c
			}})
			before := heap()
			stream, err := mux.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(stream, "\x01")
			ask(t, stream, calls)
			<-begun // else the peer may die before its message has come
			if when == "later" {
				for range calls - 1 {
					<-begun
				}
			}
			mux.Close()
			<-victim.Done()
			for range calls {
				if c := <-came; when == "later" {
					reply(c)
				}
			}
			victim.Close() // waits until the session has let go of what came before its end
			if grown := heap() - before; grown > 20<<20 {
				t.Errorf("%s: %d MB are held for a peer that is gone", when, grown>>20)
			}
			runtime.KeepAlive(victim)
			if held.bytes != 0 {
				t.Errorf("%s: %d bytes count as held", when, held.bytes)
			}
		})
	}
}

// TestAnswersThatNobodyReads has a peer ask for more than may be held and read nothing:
// Reply does not wait for it, and what is over the bound becomes an error.
func TestAnswersThatNobodyReads(t *testing.T) { bubble(t, testAnswersThatNobodyReads) }

func testAnswersThatNobodyReads(t *testing.T) {
	const limit, calls = 8 * MaxValue, 16
	held.limit, held.share = limit, limit
	defer func() { held.limit, held.share = maxHeld, heldShare }()
	came := make(chan Call, calls)
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, handler{call: func(c Call) { came <- c }})
	before := heap()
	stream, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stream, "\x01")
	ask(t, stream, calls)
	for range calls {
		call := <-came
		call.Reply(&Reply{Data: strings.Repeat("x", MaxValue)})
	}
	if victim.Err() != nil {
		t.Fatal("the answers have waited for the end of the session")
	}
	if grown := heap() - before; grown > limit+20<<20 {
		t.Errorf("%d MB are held", grown>>20)
	}
	refusals := newFrameReader(stream, smallBuffer) // they are small, and so have another stream
	for refused := 0; refused < calls-limit/MaxValue; {
		var b replyBatch
		if err := refusals.read(&b); err != nil {
			t.Fatalf("%d calls were refused, then %v", refused, err)
		}
		for i := range b.Seq {
			if code, outcome := Code(at(b.Code, i)), Outcome(at(b.Outcome, i)); code != Overloaded || outcome != Ran {
				t.Fatalf("an answer is %v, %v", code, outcome)
			}
			refused++
		}
	}
	victim.Close() // TestNoLargeStream waits until the session ends by itself
	if held.bytes != 0 {
		t.Errorf("%d bytes count as held", held.bytes)
	}
}

// TestBurstOfCalls has many calls in flight at once, and a last one when there are few
// again: when they have been answered, neither side keeps room for as many.
func TestBurstOfCalls(t *testing.T) { bubble(t, testBurstOfCalls) }

func testBurstOfCalls(t *testing.T) {
	const calls = 5000
	came := make(chan Call, calls)
	a, b := piped(t, echo{}, handler{call: func(c Call) {
		c.OnCancel(func() {})
		came <- c
	}})
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := a.ask(t.Context(), &Request{}, long); err != nil {
				t.Error(err)
			}
		})
	}
	all := make([]Call, calls)
	for i := range all {
		all[i] = <-came
	}
	before, cancels := len(a.calls.ring), reflect.ValueOf(b.answers.cancels).Pointer()
	for _, c := range all[1:] {
		c.Reply(&Reply{})
	}
	wg.Go(func() {
		if _, err := a.ask(t.Context(), &Request{}, long); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []Call{all[0], <-came} {
		c.Reply(&Reply{})
	}
	wg.Wait()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		a.calls.mu.Lock()
		ring := len(a.calls.ring)
		a.calls.mu.Unlock()
		b.answers.mu.Lock()
		kept := reflect.ValueOf(b.answers.cancels).Pointer() == cancels
		b.answers.mu.Unlock()
		if ring == ringSize && !kept {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("room for %d calls is kept, %d at most; the callee keeps its map: %v", ring, before, kept)
		}
	}
}

// TestLargeAnswersHoldNothingUp has a peer read none of many large answers: its small
// calls are served meanwhile, and when it cancels the others their values go.
func TestLargeAnswersHoldNothingUp(t *testing.T) { bubble(t, testLargeAnswersHoldNothingUp) }

func testLargeAnswersHoldNothingUp(t *testing.T) {
	const calls = 4 * maxReady
	near, far := net.Pipe()
	mux, victim := rawPeerOn(t, near, far, handler{call: func(c Call) {
		if c.Request.Num == 0 {
			c.Reply(&Reply{Data: strings.Repeat("x", MaxValue)})
			return
		}
		c.Reply(&Reply{Data: "small"})
	}})
	stream, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(stream, "\x01")
	out := newFrameWriter(stream)
	b := callBatch{}
	for i := range uint64(calls) {
		b.Seq = append(b.Seq, min(1, i+1)) // as differences
	}
	if err := out.write(b); err != nil {
		t.Fatal(err)
	}
	if err := out.write(callBatch{Seq: []uint64{calls + 1}, Num: []int64{1}}); err != nil {
		t.Fatal(err)
	}
	var reply replyBatch
	stream.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := newFrameReader(stream, smallBuffer).read(&reply); err != nil || string(reply.Data) != "small" {
		t.Fatalf("a small call behind large ones: %q, %v", reply.Data, err)
	}
	bytes := func() int {
		held.mu.Lock()
		defer held.mu.Unlock()
		return held.bytes
	}
	if bytes() < (calls-2)*MaxValue {
		t.Fatalf("%d bytes of answers are held", bytes())
	}
	gone := callBatch{}
	for i := range uint64(calls) {
		gone.Cancel = append(gone.Cancel, i+1)
	}
	if err := out.write(gone); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); bytes() > 2*MaxValue; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d bytes are held of answers that nobody waits for", bytes())
		}
	}
	if err := victim.Err(); err != nil {
		t.Error(err)
	}
}
