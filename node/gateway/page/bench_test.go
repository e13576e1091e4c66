package page

import (
	"fmt"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// BenchmarkRound measures what one round costs: to take the answers of all members, to make
// the events, and to give them to the pages, without what sends them. There is a round each
// second, so the time of one is the share of a core.
func BenchmarkRound(b *testing.B) {
	for _, c := range []struct{ nodes, kinds, pages int }{{3, 5, 20}, {100, 10, 200}} {
		b.Run(fmt.Sprintf("nodes=%d,kinds=%d,pages=%d", c.nodes, c.kinds, c.pages), func(b *testing.B) {
			f := &fake{asked: make(map[string]int)}
			now := time.Now()
			h := NewHub(f, "0@h", nil)
			l := newLoop(h)
			defer l.cancel()
			l.round = &round{next: make(chan struct{})}
			var infos []node.NodeInfo
			var answers []observe.Figures
			for i := range c.nodes {
				n := node.NodeInfo{Member: node.Member{Name: fmt.Sprintf("%d@h", i)}, Version: "v1", Routing: "modulo", Kinds: map[string]string{}, Quorum: &worker.Quorum{}}
				a := observe.Figures{Run: uint64(i + 1), Bounds: testBounds, Clock: now}
				for k := range c.kinds {
					kind := fmt.Sprintf("kind%d", k)
					n.Kinds[kind] = "0123456789abcdef"
					a.Kinds = append(a.Kinds, observe.KindFigures{Kind: kind, Rate: 3, Workers: 10, Running: 2, Concurrency: 9})
				}
				infos, answers = append(infos, n), append(answers, a)
			}
			pages := make([]*pageWatch, c.pages)
			for i := range pages {
				choice := Choice{Hot: i%2 == 0}
				if i%10 == 3 {
					choice.Node = fmt.Sprintf("%d@h", i%c.nodes)
				}
				pages[i] = &pageWatch{hub: h, choice: choice, send: func(string, []byte) error { return nil }}
				h.choices[choice]++
				h.fresh[choice.Node]++
			}
			past := func(n int) (list []observe.Sample) {
				for range n {
					list = append(list, observe.Sample{Latency: []uint32{1, 2, 3, 4, 5, 6}, Runs: []uint32{1, 2, 3, 4, 5, 6}})
				}
				return list
			}
			last := uint64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now = now.Add(time.Second)
				news := []observe.Sample(nil)
				if i%5 == 0 {
					news = past(1)
				}
				l.takeInfos(now, infos, nil)
				_, nodes := l.wanted()
				l.choose(now, nodes)
				if i%5 == 0 {
					last++
				}
				for k, a := range answers {
					a.Last = last
					for j := range a.Kinds {
						a.Kinds[j].Past = news
					}
					l.takeFigures(now, infos[k].Name, l.mark(infos[k].Name), a, 0, nil)
				}
				l.tell(now, true)
				for _, p := range pages {
					if err := p.tell(l.round); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
