package protocol

import (
	"bytes"
	"encoding/gob"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// take has a result take what a peer has sent, and returns into what that was decoded.
func take(t *testing.T, result wire.Result, sent any) (decoded []reflect.Type, err error) {
	t.Helper()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(sent); err != nil {
		t.Fatal(err)
	}
	err = result.Take(func(to any) error {
		decoded = append(decoded, reflect.TypeOf(to).Elem())
		return gob.NewDecoder(bytes.NewReader(b.Bytes())).Decode(to)
	})
	return decoded, err
}

// TestBoundedFigures decodes figures and ids that are too many: none of them is made.
func TestBoundedFigures(t *testing.T) {
	t.Parallel()
	samples := func(counts ...int) (f observe.Figures) {
		for _, n := range counts {
			f.Kinds = append(f.Kinds, observe.KindFigures{Past: make([]observe.Sample, n)})
		}
		return f
	}
	pasts := slices.Repeat([]int{observe.Samples}, observe.MaxPasts)
	for name, c := range map[string]struct {
		result func() wire.Result
		sent   any
		bad    bool
	}{
		"kinds":            {figuresResult, observe.Figures{Kinds: make([]observe.KindFigures, observe.MaxKinds)}, false},
		"too many kinds":   {figuresResult, observe.Figures{Kinds: make([]observe.KindFigures, observe.MaxKinds+1)}, true},
		"samples":          {figuresResult, samples(pasts...), false},
		"too many samples": {figuresResult, samples(append(pasts, 1)...), true},
		"ids":              {hotResult, observe.Hot{Busiest: make([]observe.HotID, observe.MaxHot), Longest: make([]observe.HotID, observe.MaxHot)}, false},
		"too many busy":    {hotResult, observe.Hot{Busiest: make([]observe.HotID, observe.MaxHot+1)}, true},
		"too many queues":  {hotResult, observe.Hot{Longest: make([]observe.HotID, observe.MaxHot+1)}, true},
	} {
		decoded, err := take(t, c.result(), c.sent)
		made := slices.Contains(decoded, reflect.TypeFor[observe.Figures]()) || slices.Contains(decoded, reflect.TypeFor[observe.Hot]())
		if (err != nil) != c.bad || made == c.bad {
			t.Errorf("%s: %v, decoded %v", name, err, decoded)
		}
	}
	for _, shape := range []reflect.Type{reflect.TypeFor[kindsShape](), reflect.TypeFor[busiestShape](), reflect.TypeFor[longestShape]()} {
		if size := elementSize(shape); size > 16 {
			t.Errorf("an element of %v has %d bytes", shape, size)
		}
	}
	if size := elementSize(reflect.TypeFor[pastsShape]().Field(0).Type.Elem()); size > 16 {
		t.Errorf("a sample of the shape has %d bytes", size)
	}
}

func figuresResult() wire.Result { return BoundedFigures(new(observe.Figures)) }

func hotResult() wire.Result { return BoundedHot(new(observe.Hot)) }

// TestCleanFigures decodes what no node of this version would send.
func TestCleanFigures(t *testing.T) {
	t.Parallel()
	ms := []time.Duration{1, 2}
	dirty := func(bounds []time.Duration, latency, runs []uint32) observe.Figures {
		return observe.Figures{
			Node: "a\x1b[2J\n", Age: -1, Bounds: bounds,
			Kinds: []observe.KindFigures{{
				Kind: "k\x00" + strings.Repeat("x", 1000), Rate: math.NaN(), Workers: -1, Bytes: -1, MaxBytes: -1, Waiting: -1, Longest: -1, Running: -1,
				Concurrency: -1, Queued: -1, Stuck: -1, StuckFor: -1,
				Past: append(make([]observe.Sample, observe.Samples), observe.Sample{Latency: latency, Runs: runs}),
			}},
		}
	}
	for _, c := range []struct {
		bounds        []time.Duration
		latency, runs []uint32
		kept          bool
	}{
		{ms, []uint32{1, 2, 3}, []uint32{1, 2}, true}, {ms, []uint32{1, 2, 3}, []uint32{1, 2, 3, 4}, true}, {nil, []uint32{1}, nil, false}, {nil, []uint32{1, 2, 3}, nil, false},
		{[]time.Duration{2, 1}, []uint32{1, 2, 3}, nil, false}, {[]time.Duration{-1, 1}, []uint32{1, 2, 3}, nil, false},
		{make([]time.Duration, maxBuckets+1), make([]uint32, maxBuckets+2), nil, false},
	} {
		var f observe.Figures
		if _, err := take(t, BoundedFigures(&f), dirty(c.bounds, c.latency, c.runs)); err != nil {
			t.Fatal(err)
		}
		k := f.Kinds[0]
		if len(k.Past) != observe.Samples {
			t.Fatalf("%d samples", len(k.Past))
		}
		last := k.Past[len(k.Past)-1]
		if (last.Latency != nil) != c.kept || last.Runs != nil || (f.Bounds != nil) != c.kept {
			t.Errorf("of %+v is left %+v, bounds %v", c, last, f.Bounds)
		}
		if k.Past = nil; len(k.Kind) > maxNodeName+3 || strings.ContainsAny(k.Kind+f.Node, "\x00\x1b\n") || f.Age != 0 {
			t.Errorf("%q, %q, %v", k.Kind, f.Node, f.Age)
		}
		if k.Kind = ""; !reflect.DeepEqual(k, observe.KindFigures{}) {
			t.Errorf("%+v", k)
		}
	}
	var h observe.Hot
	bad := observe.HotID{Info: worker.Info{Kind: "\x1b[2J", Node: "\x1b[2J", Age: -1, TTL: -1, Queue: -1, LeftOut: 1}, Rate: math.Inf(1)}
	if _, err := take(t, BoundedHot(&h), observe.Hot{Node: "\x1b[2J", Workers: -1, Busiest: []observe.HotID{bad}, Longest: []observe.HotID{bad}}); err != nil {
		t.Fatal(err)
	}
	want := observe.HotID{Info: worker.Info{Kind: " [2J", Node: " [2J"}}
	if !reflect.DeepEqual(h, observe.Hot{Node: " [2J", Busiest: []observe.HotID{want}, Longest: []observe.HotID{want}}) {
		t.Errorf("%+v", h)
	}
}

// TestKnown has the errors of nodes that do not know an operation, and others.
func TestKnown(t *testing.T) {
	t.Parallel()
	unknown := &wire.Error{Code: wire.UnknownOperation, Node: "3@b"}
	voters := &wire.Error{Code: wire.NoQuorum, Node: "3@b", Text: "the node was started without voters"}
	said := &wire.Error{Code: wire.UnknownOperation, Node: "3@b", Text: "it is old"}
	for _, c := range []struct {
		op   wire.Op
		err  error
		want string
	}{
		{OpFigures, unknown, "3@b: unknown operation: the node is of an older version; upgrade it"},
		{OpFigures, voters, "3@b: unknown operation: the node is of an older version; upgrade it"},
		{OpVoters, voters, voters.Error()},
		{OpFigures, said, said.Error()},
		{OpFigures, errors.New("no"), "no"},
	} {
		if got := Known(c.op, c.err); got.Error() != c.want || errors.Is(got, wire.UnknownOperation) != strings.Contains(c.want, "unknown") {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if Known(OpFigures, nil) != nil {
		t.Error("an error of no error")
	}
}
