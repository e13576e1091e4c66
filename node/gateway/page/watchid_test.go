package page

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// seven is an id of the default kind.
var seven = worker.Key{Kind: "default", ID: worker.IntID(7)}

// TestWatchID has two pages that show one id, and a third one that comes later.
func TestWatchID(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		next := uint64(0)
		f.trace = func(q observe.TraceQuery) (observe.Steps, error) {
			if q.After == (observe.Mark{}) {
				return observe.Steps{Run: 4}, nil
			}
			if q.After != (observe.Mark{Run: 4, Seq: next}) {
				t.Errorf("asked for steps after %v, want 4-%d", q.After, next)
			}
			s := observe.Steps{Run: 4, Missed: 2}
			for range 3 {
				next++
				s.List = append(s.List, observe.Step{Seq: next, Time: time.Now(), What: "request", From: "1@a", Took: 1500 * time.Microsecond, By: "2@b", Cached: true, Value: "21"})
			}
			s.Last = next
			return s, nil
		}
		f.why = func(kind string, id worker.ID) (node.Explanation, error) {
			return node.Explanation{
				ID: id, Kind: kind, Owner: "2@b", Rule: "7 mod 3 = 1", Index: 1, Members: 3, Asked: "2@b", Live: true,
				Worker: worker.Info{Kind: kind, ID: id, Node: "2@b", Hits: 5, TTL: time.Second}, Custody: &worker.Custody{Node: "2@b"},
			}, nil
		}
		v, same := watchID(t, h, worker.Key{ID: seven.ID}), watchID(t, h, seven)
		pass(0)
		if len(v.ids) != 1 || v.ids[0]["owner"] != "2@b" {
			t.Fatalf("at once: %v", v.ids)
		}
		pass(10 * time.Second)
		if asked := f.asks(); asked["why of 7"] != 11 || asked["trace of 7"] != 11 || len(v.ids) != 11 || len(same.ids) < 10 {
			t.Errorf("asked %v, sent %d and %d", asked, len(v.ids), len(same.ids))
		}
		last := v.ids[10]
		for field, want := range map[string]string{
			"id": "7", "kind": "default", "rule": "7 mod 3 = 1", "live": "true", "strict": "true", "names": "[map[name:1@a state:alive] map[name:2@b state:alive] map[name:3@c state:alive]]",
			"names_from": "0", "missed": "20", "text": "in view 0 no member acts for it; a worker runs on 2@b and expires in 1s",
		} {
			if got := fmt.Sprint(last[field]); got != want {
				t.Errorf("%s is %s, want %s", field, got, want)
			}
		}
		steps := last["steps"].([]any)
		if len(steps) != 30 || fmt.Sprint(steps[29].(map[string]any)["took_ms"]) != "1.5" || steps[29].(map[string]any)["value"] != "21" {
			t.Errorf("%d steps: %v", len(steps), steps[29])
		}
		pass(2 * time.Minute)
		late := watchID(t, h, seven)
		synctest.Wait()
		if n := len(late.ids[0]["steps"].([]any)); n != 3*60 && n != 3*61 { // of the last minute
			t.Errorf("%d steps of a minute", n)
		}
		for _, page := range []*viewer{v, same, late} {
			page.cancel()
		}
		synctest.Wait()
		f.asks()
		pass(5 * time.Second)
		if asked := f.asks(); asked["why of 7"]+asked["trace of 7"] > 0 || len(h.ids) > 0 {
			t.Errorf("asked %v for nobody", asked)
		}
	})
}

// TestWatchIDBounds has 33 ids, and more steps than a page shows.
func TestWatchIDBounds(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		f.trace = func(observe.TraceQuery) (observe.Steps, error) {
			s := observe.Steps{Run: 1, Last: 9, Missed: 1 << 63}
			for range observe.MaxPage {
				s.List = append(s.List, observe.Step{
					Seq: 9, Time: time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC), Took: -time.Hour, From: "\u202e", Message: strings.Repeat("m\n", 1<<12), Value: "<script>", Err: "\xff",
				})
			}
			return s, nil
		}
		var pages []*viewer
		for i := range maxIDs {
			pages = append(pages, watchID(t, h, worker.Key{ID: worker.IntID(int64(i))}))
		}
		pass(time.Second)
		for _, v := range pages {
			steps := v.ids[len(v.ids)-1]["steps"].([]any)
			s := steps[shownSteps-1].(map[string]any)
			if len(steps) != shownSteps || s["from"] != " " || s["value"] != "<script>" || s["took_ms"] != 0.0 || s["err"] != "\ufffd" || len(s["message"].(string)) > maxStep {
				t.Fatalf("%d steps: %.300v", len(steps), s)
			}
		}
		v := watchID(t, h, worker.Key{Kind: "price"})
		synctest.Wait()
		if !errors.Is(v.err, node.ErrOverloaded) || !strings.Contains(v.err.Error(), "close one") {
			t.Errorf("the 33rd id: %v", v.err)
		}
		if v := watchID(t, h, worker.Key{ID: worker.IntID(3)}); true {
			synctest.Wait()
			if v.err != errWatching {
				t.Errorf("one of the ids that are shown: %v", v.err)
			}
		}
		pages[5].cancel()
		synctest.Wait()
		if v := watchID(t, h, worker.Key{Kind: "price"}); true {
			synctest.Wait()
			if v.err != errWatching || len(v.ids) != 1 {
				t.Errorf("when one was closed: %v", v.err)
			}
		}
	})
}

// TestWatchIDProblems has an id that cannot be explained or traced for a while.
func TestWatchIDProblems(t *testing.T) {
	bubble(t, three, func(t *testing.T, f *fake, h *Hub) {
		id, _ := worker.ParseID("\xff\x1b[2J<script>")
		why, trace := node.ErrUnknownKind, context.DeadlineExceeded
		f.why = func(kind string, id worker.ID) (node.Explanation, error) {
			return node.Explanation{ID: id, Kind: kind, Owner: "9@gone", Index: 8}, why
		}
		f.trace = func(observe.TraceQuery) (observe.Steps, error) { return observe.Steps{Run: 1}, trace }
		v := watchID(t, h, worker.Key{Kind: "price", ID: id})
		pass(3 * time.Second)
		last := v.ids[len(v.ids)-1]
		if len(v.ids) != 4 || last["problem"] != "unknown kind" || last["kind"] != "price" || last["id_encoding"] != "base64" || last["steps_problem"] != "it did not answer in time" {
			t.Errorf("%d times: %v", len(v.ids), last)
		}
		f.change(func() { why, trace = nil, nil })
		pass(2 * time.Second)
		last = v.ids[len(v.ids)-1]
		if last["problem"] != nil || last["owner"] != "9@gone" || len(last["names"].([]any)) != 3 || last["steps_problem"] != nil {
			t.Errorf("later: %v", last)
		}
	})
}

// TestAround shows 64 members around the owner of an id.
func TestAround(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("%d@h", i))
	}
	bubble(t, names, func(t *testing.T, f *fake, h *Hub) {
		watch(t, h, Choice{})
		pass(time.Second)
		for owner, from := range map[string]int{"0@h": 0, "31@h": 0, "33@h": 1, "100@h": 68, "190@h": 136, "199@h": 136} {
			list, got := h.around(node.Explanation{Owner: owner})
			if got != from || len(list) != shownNames || list[0].Name != names[from] {
				t.Errorf("around %s: %d names from %d, want %d", owner, len(list), got, from)
			}
		}
	})
}
