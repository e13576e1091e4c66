//go:build unix

package faults

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/distproc/distproc/node/worker"
)

// The calls of an id are linearizable if there is an order of them, each at some time
// between its begin and its end, in which every answer is right. Porcupine searches for
// it.
//
// A call whose outcome is unknown may take effect at any time after its begin, or never.
// The search would try all ways, and take twice as long for each such call. It need not,
// because every answer says which number was there before:
//
//   - Each number is written to a register by one call at most. If that one is unknown, it
//     may as well have taken effect right before the first call that found the number. If none
//     did, it may as well have had no effect, and is left out.
//   - Unknown calls that add 1 are alike. They are no operations. An answer may find that as
//     many of them have taken effect as had begun before its end.

const linearTime = 30 * time.Second // for the search of all ids of a run

// A strictKey is an id of a kind.
type strictKey struct {
	kind string
	id   int64
}

// byStrictKey sorts the calls that may have had an effect by their ids.
func byStrictKey(calls []*strictCall) map[strictKey][]*strictCall {
	byKey := map[strictKey][]*strictCall{}
	for _, c := range calls {
		if c.acknowledged() || c.uncertain() {
			k := strictKey{c.Kind, c.ID}
			byKey[k] = append(byKey[k], c)
		}
	}
	return byKey
}

// checkLinear returns the ids whose calls are not linearizable, with the calls that show
// it. An id that has not been searched within the limit is among them.
func checkLinear(calls []*strictCall, limit time.Duration) (wrong []string) {
	deadline := time.Now().Add(limit)
	for k, list := range byStrictKey(calls) {
		switch linear(list, time.Until(deadline)) {
		case porcupine.Illegal:
			wrong = append(wrong, fmt.Sprintf("%s %d: no order explains\n\t%s", k.kind, k.id, strings.Join(evidence(list, deadline), "\n\t")))
		case porcupine.Unknown:
			wrong = append(wrong, fmt.Sprintf("%s %d: no order found within %v for %d calls", k.kind, k.id, limit, len(list)))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// linear searches for an order of the calls of one id.
func linear(list []*strictCall, limit time.Duration) porcupine.CheckResult {
	if limit <= 0 { // which would be no limit
		return porcupine.Unknown
	}
	if list[0].Kind == registerKind {
		return porcupine.CheckOperationsTimeout(registerModel, registerHistory(list), limit)
	}
	return porcupine.CheckOperationsTimeout(counterModel, counterHistory(list), limit)
}

// An answered is the output of an operation.
type answered struct {
	known         bool
	before, after int64
}

func output(c *strictCall) answered { return answered{c.acknowledged(), c.Before, c.After} }

// registerModel has a number for its state.
var registerModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		before, a := state.(int64), output.(answered)
		after := input.(strictRequest).apply(before)
		return !a.known || a.before == before && a.after == after, after
	},
	Hash: func(state any) uint64 { return uint64(state.(int64)) },
}

func registerHistory(list []*strictCall) (operations []porcupine.Operation) {
	found := map[int64]span{} // by number, the first begin and the first end of the calls that found it
	for _, c := range list {
		if c.acknowledged() {
			find(found, c.Before, c.span)
		}
	}
	for again := true; again; { // an unknown comparison whose number was found had found another one
		again = false
		for _, c := range list {
			if s, ok := found[c.New]; ok && c.uncertain() && c.Op == opCompare {
				again = find(found, c.Want, span{max(s.Begin, c.Begin), s.End}) || again
			}
		}
	}
	for _, c := range list {
		s := c.span
		if c.uncertain() {
			at, ok := found[c.New]
			if !ok || c.Op == opGet {
				continue
			}
			s.Begin = max(c.Begin, at.Begin)
			s.End = max(s.Begin, at.End) // if it was found before it began, there is no order
		}
		operations = append(operations, porcupine.Operation{
			Input: c.strictRequest, Output: output(c), Call: int64(s.Begin), Return: int64(s.End),
		})
	}
	return operations
}

// find notes that a call found a number. It reports whether that is news.
func find(found map[int64]span, number int64, s span) bool {
	old, ok := found[number]
	if ok {
		s = span{min(s.Begin, old.Begin), min(s.End, old.End)}
	}
	found[number] = s
	return s != old
}

// A count is the state of a counter, and how many unknown calls have added to it.
type count struct{ value, unknown int64 }

// An addition is an operation on a counter, by whose end so many unknown calls have
// begun.
type addition struct {
	strictRequest
	begun int64
}

var counterModel = porcupine.Model{
	Init: func() any { return count{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, a := state.(count), input.(addition), output.(answered)
		s.unknown += a.before - s.value
		ok := a.before >= s.value && s.unknown <= in.begun && a.after == in.apply(a.before)
		return ok, count{a.after, s.unknown}
	},
	Hash: func(state any) uint64 { return uint64(state.(count).value) },
}

func counterHistory(list []*strictCall) (operations []porcupine.Operation) {
	var begins []time.Duration // of unknown calls
	for _, c := range list {
		if c.uncertain() && c.Op == opAdd {
			begins = append(begins, c.Begin)
		}
	}
	slices.Sort(begins)
	for _, c := range list {
		if c.acknowledged() {
			begun := sort.Search(len(begins), func(i int) bool { return begins[i] > c.End })
			operations = append(operations, porcupine.Operation{
				Input: addition{c.strictRequest, int64(begun)}, Output: output(c), Call: int64(c.Begin), Return: int64(c.End),
			})
		}
	}
	return operations
}

// evidence returns the last calls of the shortest beginning of a history that has no
// order.
func evidence(list []*strictCall, deadline time.Time) (calls []string) {
	ends := slices.Clone(list)
	slices.SortFunc(ends, func(a, b *strictCall) int { return cmp.Compare(a.End, b.End) })
	until := func(end time.Duration) (some []*strictCall) {
		for _, c := range list {
			if c.End > end && c.Begin <= end {
				open := *c
				open.Err, open.Outcome = "it goes on", worker.OutcomeUnknown
				c = &open
			}
			if c.Begin <= end {
				some = append(some, c)
			}
		}
		return some
	}
	n := sort.Search(len(ends)-1, func(i int) bool { return linear(until(ends[i].End), time.Until(deadline)) != porcupine.Ok })
	const few = 8
	for _, c := range ends[max(0, n+1-few) : n+1] {
		calls = append(calls, fmt.Sprintf("%v to %v at %d: %s", c.Begin, c.End, c.Via, c))
	}
	return calls
}
