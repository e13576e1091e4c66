package page

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
)

// FuzzFigures has a member whose answers are made of any numbers. What the other one says is
// shown as it is, all that is shown is JSON, and what is kept is bounded.
func FuzzFigures(f *testing.F) {
	f.Add([]byte("\x01\x02\x03"), "price")
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "<script>")
	f.Fuzz(func(t *testing.T, data []byte, kind string) {
		number := func() (n uint64) { // the next one; small if the data says so
			var b [8]byte
			n = binary.BigEndian.Uint64(append(append(b[:0], data...), b[:]...)[:8])
			data = data[min(8, len(data)):]
			if n%3 == 0 {
				return n % 400
			}
			return n
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		c := newCollection("1@a", now.Add(-time.Hour), now)
		infos := []node.NodeInfo{{Member: node.Member{Name: "1@a"}}, {Member: node.Member{Name: "2@b"}, Rate: math.Float64frombits(number()), Workers: int(number())}}
		for tick := range 6 {
			now = now.Add(time.Duration(tick) * 3 * time.Second)
			c.takeInfos(now, infos, nil)
			c.choose(now, []string{"2@b"})
			last := uint64(now.Sub(c.epoch) / observe.SampleTime)
			honest := observe.Figures{Run: 1, Last: last, Clock: now, Bounds: testBounds, Kinds: []observe.KindFigures{{Kind: "price", Rate: 3, Past: make([]observe.Sample, 180)}}}
			for i := range honest.Kinds[0].Past {
				honest.Kinds[0].Past[i] = observe.Sample{Latency: []uint32{7, 0, 0, 0, 0, 0}}
			}
			c.takeFigures(now, "1@a", c.mark("1@a"), honest, 0, nil)
			lie := observe.Figures{Run: number() % 3, Last: number(), Age: time.Duration(number()), Clock: time.Unix(int64(number()), 0), Bounds: testBounds}
			if number()%5 == 0 {
				lie.Bounds = []time.Duration{time.Duration(number()), time.Duration(number())}
			}
			for range number() % 4 {
				k := observe.KindFigures{
					Kind: kind, Rate: math.Float64frombits(number()), Workers: int(number()), Bytes: int64(number()), MaxBytes: int64(number()),
					Longest: int(number()), Running: int(number()), Concurrency: int(number()), Queued: int(number()), Stuck: int(number()), StuckFor: time.Duration(number()),
				}
				for range number() % 200 {
					k.Past = append(k.Past, observe.Sample{Latency: make([]uint32, number()%9), Failed: uint32(number()), Runs: []uint32{1, 2, 3, 4, 5, uint32(number())}, Evicted: uint32(number())})
				}
				lie.Kinds, kind = append(lie.Kinds, k), kind+"x"
			}
			c.takeFigures(now, "2@b", c.mark("2@b"), lie, time.Duration(number()), nil)
			done := c.advance(now)
			for _, name := range []string{"", "2@b"} {
				p, _ := c.pastOf(now, name)
				for _, slot := range done {
					if m := p.message(slot, 1, c.endOf(slot), c.own); m.Steps != 1 {
						t.Fatalf("a step of %d slots", m.Steps)
					}
				}
				if m := p.message(c.last, slots, c.endOf(c.last), c.own); m.Steps < 0 || m.Steps > slots || len(m.Kinds) > observe.MaxPasts {
					t.Fatalf("a past of %d steps and %d kinds", m.Steps, len(m.Kinds))
				} else if _, err := json.Marshal(m); err != nil {
					t.Fatal(err)
				}
				if len(p.kinds) > heldKinds {
					t.Fatalf("%d kinds are held", len(p.kinds))
				}
				if _, err := json.Marshal(c.state(now, Choice{Node: name, Hot: true})); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := json.Marshal(c.common(now)); err != nil {
				t.Fatal(err)
			}
			if n := len(c.notices(now)); n > maxNotices+1 {
				t.Fatalf("%d notices", n)
			}
		}
		s := c.state(now, Choice{Node: "1@a"})
		if len(s.Kinds) != 1 || s.Kinds[0].Rate != 3 {
			t.Errorf("1@a: %+v", s.Kinds)
		}
	})
}
