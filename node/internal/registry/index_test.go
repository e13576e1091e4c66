package registry

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/distproc/distproc/node/worker"
)

// TestIndex compares an index with a map of ids, with ids that meet in one chain.
func TestIndex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var x index
		model := map[worker.ID]*entry{}
		out := []*entry{{id: worker.IntID(1)}}
		ids := []worker.ID{worker.IntID(1), worker.IntID(2), mustID("a"), mustID("b")}
		// Integers that have the number of a string: what nobody can choose from outside.
		ids = append(ids, worker.IntID(int64(number(ids[2]))), worker.IntID(int64(number(ids[3]))))
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				w := &entry{id: rapid.SampledFrom(ids).Draw(t, "id")}
				if old := model[w.id]; old != nil {
					out = append(out, old)
				}
				x.put(w)
				model[w.id] = w
			},
			"remove": func(t *rapid.T) {
				id := rapid.SampledFrom(ids).Draw(t, "id")
				x.remove(model[id])
				delete(model, id)
			},
			"remove one that is out": func(t *rapid.T) { x.remove(rapid.SampledFrom(out).Draw(t, "out")) },
			"clear": func(*rapid.T) {
				x.clear()
				clear(model)
			},
			"remove many": func(t *rapid.T) {
				drop := rapid.SliceOfDistinct(rapid.SampledFrom(ids), func(id worker.ID) worker.ID { return id }).Draw(t, "drop")
				for w := range x.all() {
					if slices.Contains(drop, w.id) {
						x.remove(w)
						delete(model, w.id)
					}
				}
			},
			"": func(t *rapid.T) {
				for _, id := range ids {
					if x.get(id) != model[id] {
						t.Fatalf("get(%v) = %p, want %p", id, x.get(id), model[id])
					}
				}
				all := slices.Collect(x.all())
				if x.count != len(model) || len(all) != len(model) {
					t.Fatalf("count %d, %d workers, want %d", x.count, len(all), len(model))
				}
				for _, w := range all {
					if !slices.Contains(slices.Collect(maps.Values(model)), w) {
						t.Fatalf("%v is in", w.id)
					}
				}
			},
		})
	})
}

// TestIndexInSteps changes an index between the steps of a visit: it shrinks, and grows
// again. All workers that stay are visited.
func TestIndexInSteps(t *testing.T) {
	t.Parallel()
	const size = 10_000
	var x index
	workers := make([]*entry, size)
	for i := range workers {
		workers[i] = &entry{id: worker.IntID(int64(i))}
		x.put(workers[i])
	}
	visited := map[*entry]bool{}
	pauses := 0
	pause := func() {
		if pauses++; pauses != 3 {
			return
		}
		for i, w := range workers {
			if i%100 != 0 {
				x.remove(w)
			}
		}
		x.shrink()
		for i := range int64(size) {
			x.put(&entry{id: worker.IntID(-1 - i)})
		}
	}
	for w := range x.inSteps(32, pause) {
		visited[w] = true
	}
	if x.shrunk != 1 || pauses < x.count/32 {
		t.Errorf("shrunk %d times, %d pauses", x.shrunk, pauses)
	}
	for w := range x.all() {
		if !visited[w] && num(w.id) >= 0 {
			t.Fatalf("%v is left out", w.id)
		}
	}
}

// TestIndexInStepsCleared has an index be cleared between the steps of a visit, and those
// put back that stay, as forgetIdleLocked does: none that was dropped is visited then, and
// all that stay are.
func TestIndexInStepsCleared(t *testing.T) {
	t.Parallel()
	const size = 1000
	var x index
	var stay []*entry
	for i := range int64(size) {
		w := &entry{id: worker.IntID(i)}
		x.put(w)
		if i%100 == 0 {
			stay = append(stay, w)
		}
	}
	cleared := false
	pause := func() {
		if !cleared {
			x.clear()
			for _, w := range stay {
				x.put(w)
			}
		}
		cleared = true
	}
	visited := map[*entry]bool{}
	for w := range x.inSteps(32, pause) {
		if cleared && !slices.Contains(stay, w) {
			t.Fatalf("%v was dropped, and is visited", w.id)
		}
		visited[w] = true
	}
	for _, w := range stay {
		if !visited[w] {
			t.Errorf("%v is left out", w.id)
		}
	}
}

// TestIndexShrinks compares an index that gives back memory with one that does not.
func TestIndexShrinks(t *testing.T) {
	t.Parallel()
	var x index
	var all []*entry
	for i := range int64(1000) {
		w := &entry{id: worker.IntID(i)}
		all = append(all, w)
		x.put(w)
	}
	for _, w := range all[:900] {
		x.remove(w)
	}
	x.shrink()
	if x.peak != 100 {
		t.Errorf("it is as large as for %d", x.peak)
	}
	for i, w := range all {
		if got := x.get(w.id); (got == w) != (i >= 900) {
			t.Fatalf("worker %d: %v", i, got)
		}
	}
	x.shrink()
	if x.peak != 100 || x.count != 100 {
		t.Errorf("again: peak %d, count %d", x.peak, x.count)
	}
}
