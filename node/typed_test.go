package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestTyped has types of Go become values and come back.
func TestTyped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type price struct{ Cents int }
		roundTrip(t, 7, "7")
		roundTrip(t, int64(-7), "-7")
		roundTrip(t, int32(-7), "-7")
		roundTrip(t, uint32(7), "7")
		roundTrip(t, uint64(1<<63), "9223372036854775808")
		roundTrip(t, "seven", "seven")
		roundTrip(t, worker.BytesValue("seven"), "seven")
		roundTrip(t, price{7}, `{"Cents":7}`)
		roundTrip(t, 1.5, "1.5")
		if v, _ := worker.ValueOf([]byte("\x00")); v.String() != "\x00" {
			t.Errorf("bytes = %q", v)
		}
		if v, _ := worker.ValueOf(price{7}); v.MediaType() != "application/json" {
			t.Errorf("media type = %q", v.MediaType())
		}
		if b, err := worker.As[[]byte](worker.BytesValue("x")); string(b) != "x" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := worker.As[price](worker.BytesValue(strings.Repeat("seven", 100))); err == nil || len(err.Error()) > 200 {
			t.Errorf("As = %v, want a short error", err)
		}
		if _, err := worker.ValueOf(func() {}); err == nil {
			t.Error("a function is a value")
		}
	})
}

func roundTrip[T comparable](t *testing.T, x T, text string) {
	t.Helper()
	v, err := worker.ValueOf(x)
	back, err2 := worker.As[T](v)
	if err != nil || err2 != nil || v.String() != text || back != x {
		t.Errorf("%v became %q, %v and came back as %v, %v", x, v, err, back, err2)
	}
}

// TestTypedKinds asks typed kinds: of a source, of a server, and of those whose answer is
// another type.
func TestTypedKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type price struct{ Cents int }
		n := startNode(t, "1@"+testHost(), worker.Cache{Load: worker.Load(func(_ context.Context, id worker.ID) (price, error) { return price{int(num(id))}, nil })})
		if err := n.SetKinds(map[string]worker.Kind{"serial": worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (adder, error) { return adder{}, nil })}}); err != nil {
			t.Fatal(err)
		}
		p, reply, err := Get[price](t.Context(), n.Family(""), worker.IntID(7))
		if p.Cents != 7 || reply.Node != n.Self() || err != nil {
			t.Errorf("Get = %v, %v, %v", p, reply, err)
		}
		if _, _, err := Get[int](t.Context(), n.Family(""), worker.IntID(7)); err == nil {
			t.Error("a price is an int")
		}
		sum, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), []int{1, 2})
		if sum != 3 || err != nil {
			t.Errorf("Call = %v, %v", sum, err)
		}
		if _, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), "no list"); !errors.Is(err, wire.BadRequest) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("Call = %v (%v), want a bad request that did not run", err, OutcomeOf(err))
		}
		if _, err := n.Family("serial").Call(t.Context(), worker.IntID(7), worker.BytesValue(strings.Repeat(" ", wire.MaxValue+1))); !errors.Is(err, wire.BadRequest) {
			t.Errorf("Call with a large message = %v", err)
		}
		if _, err := Call[int](t.Context(), n.Family(""), worker.IntID(7), 1); err == nil || !strings.Contains(err.Error(), "takes no calls") {
			t.Errorf("Call = %v", err)
		}
		if _, err := n.Family("serial").Request(t.Context(), worker.IntID(7)); err == nil || !strings.Contains(err.Error(), "it takes calls") {
			t.Errorf("Request = %v", err)
		}
		if _, err := Call[int](t.Context(), n.Family("serial"), worker.IntID(7), func() {}); OutcomeOf(err) != worker.OutcomeNotRun || err == nil {
			t.Errorf("Call with a function = %v (%v)", err, OutcomeOf(err))
		}
		if _, err := Call[[]string](t.Context(), n.Family("serial"), worker.IntID(7), []int{1}); OutcomeOf(err) != worker.OutcomeRan {
			t.Errorf("Call with another answer = %v (%v)", err, OutcomeOf(err))
		}
		for name, outcome := range map[string]worker.Outcome{"": worker.OutcomeNotRun, "none": worker.OutcomeNotRun} {
			if _, err := n.Family(name).Call(t.Context(), worker.IntID(7), worker.Value{}); OutcomeOf(err) != outcome {
				t.Errorf("Call of %q: %v (%v)", name, err, OutcomeOf(err))
			}
		}
		if got := slices.Sorted(maps.Keys(n.kinds.Definitions())); !slices.Equal(got, []string{"default", "serial"}) {
			t.Errorf("kinds %v", got)
		}
	})
}

type adder struct{}

func (adder) Call(_ context.Context, list []int) (sum int, err error) {
	for _, n := range list {
		sum += n
	}
	return sum, nil
}
