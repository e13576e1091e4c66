//go:build unix

package faults

import "time"

// oneByOne has as many nodes struck, one after the other.
func oneByOne(kind faultKind, times int, every time.Duration, how string) (plan []plannedFault) {
	for i := range times {
		f := plannedFault{kind: kind, nodes: []int{i%faultNodes + 1}, at: time.Duration(i) * every, length: every / 3, how: how}
		if kind != faultTerm && kind != faultKill {
			f.length = every
		}
		plan = append(plan, f)
	}
	return plan
}

// rolls restarts all nodes in turn, several times over.
func rolls(times int) (plan []plannedFault) {
	for i := range times {
		plan = append(plan, plannedFault{kind: faultRoll, nodes: []int{1, 2, 3, 4, 5}, at: time.Duration(i) * 20 * time.Second})
	}
	return plan
}

// aimed strikes a target several times.
func aimed(kind faultKind, to target, times int, length, every time.Duration) (plan []plannedFault) {
	for i := range times {
		nodes := []int{1, 2, 3, 4, 5}
		how := kind.ways()[0]
		plan = append(plan, plannedFault{kind: kind, target: to, nodes: append(nodes[i%faultNodes:], nodes[:i%faultNodes]...), at: time.Duration(i) * every, length: length, how: how})
	}
	return plan
}

// lastRest is after the plan of a mutant that has not been found.
const lastRest = settleTime + calmTime

// mutants are the ways to break the product, and what finds each.
var mutants = []mutant{
	{
		name: "compare before delete", finds: ruleOverlap, rest: lastRest,
		change: condition("table.sweepLocked", "workers get w id").then("s.workers.remove(s.workers.get(w.id))"),
	},
	{
		name: "canonical order", finds: ruleViews, or: ruleServers, rest: lastRest,
		change: statement("NewView", "a b Name Compare").precededBy("if a.Self { return -1 }; if b.Self { return 1 }"),
	},
	{
		name: "single flight", finds: ruleOverlap, rest: lastRest,
		change: condition("cache.waitLocked", "w nil").guarding("startLocked").always(),
	},
	{
		name: "local answer", finds: ruleFailed, rest: lastRest,
		plan:   []plannedFault{{kind: faultKill, nodes: []int{2}, length: time.Second}},
		change: condition("Router.degraded", "Closing Load").never(),
	},
	{
		name: "expiry", finds: ruleAge, rest: lastRest,
		change: statement("cache.endLoadLocked", "w expires started life").followedBy("w.expires += 2 * w.policy.life()"),
	},
	{
		name: "barrier", finds: ruleServers, rest: lastRest, plan: oneByOne(faultTerm, 12, 2*time.Second, "join"),
		change: condition("Claims.Claim", "v Peers").guarding("amongOthers").never(),
	},
	{
		name: "hold", finds: ruleServers, rest: lastRest, plan: oneByOne(faultTerm, 12, 2*time.Second, "join"),
		change: statement("quiesce", "Quiesce").dropped(),
	},
	{
		name: "ended is gone", finds: ruleThrough, rest: lastRest,
		plan:   []plannedFault{{kind: faultTerm, nodes: []int{2}, at: recoverTime - formTime, length: 4 * time.Second}},
		change: condition("actor.restLocked", "m queue len").never(),
	},
	{
		name: "unknown is not tried again", finds: ruleOnce, rest: lastRest,
		plan:   oneByOne(faultPause, 10, 3500*time.Millisecond, "idle"),
		change: condition("Router.mayCallAgain", "Outcome NotRun").never(),
	},
	{
		name: "outcome", finds: ruleOutcome, rest: lastRest,
		change: statement("pending.verdict", "v Error GaveUp").followedBy("v.Outcome = NotRun"),
	},
	{
		name: "standstill", finds: ruleStale, rest: lastRest,
		plan:   oneByOne(faultPause, 8, 4500*time.Millisecond, "full"),
		change: condition("mailbox.suspect", "m stood").always(),
	},
	{
		name: "withdrawn", finds: ruleOutcome, or: ruleOnce, rest: lastRest,
		plan: oneByOne(faultPause, 20, 3*time.Second, "full"),
		change: statement("actor.refusedLocked", "refused append next").precededBy(
			"c := m.queue.first; c.Deadline += 1 << 40;" +
				" go c.To.Answer(worker.Reply{}, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}); break"),
	},
	{
		name: "eviction", finds: ruleMemory, rest: lastRest,
		plan:   oneByOne(faultGreedy, 16, 4*time.Second, "reading"),
		change: statement("memory.over", "limit used Load").precededBy("return false"),
	},
	{
		name: "answers that wait", finds: ruleMemory, rest: lastRest,
		plan:   oneByOne(faultGreedy, 16, 4*time.Second, "stuck"),
		change: statement("heldValues.take", "false").dropped(),
	},
	{
		name: "a log that waits", finds: ruleSlow, rest: lastRest,
		plan:   oneByOne(faultLog, 1, 20*time.Second, "stuck"),
		change: statement("handler.Handle", "h queue add").precededBy("return h.to.Handle(ctx, resolved)"),
	},
	{
		name: "broken pipe", finds: ruleProcess, rest: lastRest,
		plan:   oneByOne(faultLog, 1, time.Second, "gone"),
		change: statement("ignoreBrokenPipes", "Notify SIGPIPE").dropped(),
	},
	{
		name: "leftovers", finds: ruleProgram, rest: lastRest,
		plan:   oneByOne(faultKill, 12, 1500*time.Millisecond, "join"),
		change: condition("leftovers", "ok namespace lives").always(),
	},
	{
		name: "refusals", finds: ruleLog, rest: lastRest,
		plan:   oneByOne(faultFlood, 1, 20*time.Second, "garbage"),
		change: condition("Refusals.Refused", "logs refusal").always(),
	},
	{
		name: "requests that end", finds: ruleFailed, rest: lastRest, clients: true,
		plan:   rolls(4),
		change: statement("shutdown", "ctx cancel WithTimeout timeout").precededBy("return s.Close()"),
	},
	{
		name: "relay", finds: ruleDegraded, rest: lastRest, partition: true,
		plan:   []plannedFault{{kind: faultPair, nodes: []int{1, 2}, length: pairTime + 4*time.Second, how: "lost"}},
		change: condition("Router.relay", "len others").always(),
	},
	{
		name: "twins", finds: ruleTwin, rest: lastRest, partition: true,
		plan:   []plannedFault{{kind: faultTwin, nodes: []int{3, 4, 5}, length: 6 * time.Second}},
		change: condition("Members.giveWay", "other self Incarnation").always(),
	},
	{
		name: "forgetful", finds: ruleStale, rest: lastRest,
		plan:   oneByOne(faultTerm, 5, 4*time.Second, "state"),
		change: statement("readKnown", "k add list").dropped(),
	},
	{
		name: "a lease that is too long", finds: ruleLinear, rest: lastRest, strict: true,
		plan:   aimed(faultSplit, anyNode, 4, 8*time.Second, 15*time.Second),
		change: statement("Rights.take", "n end").followedBy("n.end += 3 * lease"),
	},
	{
		name: "no fence", finds: ruleRefused, rest: lastRest, strict: true,
		plan:   aimed(faultPause, anyNode, 12, 4*time.Second, 7*time.Second),
		change: statement("Quorum.Valid", "now r held leased").precededBy("return true"),
	},
	{
		name: "no verdict", finds: ruleAtOnce, rest: lastRest, strict: true,
		plan:   aimed(faultTerm, anyNode, 12, time.Second, 5*time.Second),
		change: condition("Quorum.Begin", "v Granted").never(),
	},
	{
		name: "a leader that does not wait", finds: ruleAtOnce, rest: lastRest, strict: true,
		plan:   aimed(faultKill, theLeader, 8, time.Second, 8*time.Second),
		change: statement("newLeader", "since now").precededBy("now -= time.Hour"),
	},
	{
		name: "the wrong disk", finds: ruleStranger, rest: lastRest, strict: true, plan: wipes,
		change: condition("streams.serve", "to self").never(),
	},
}

// wipes has two of three voters lose their disks.
var wipes = []plannedFault{
	{kind: faultWipe, nodes: []int{1}, length: time.Second, how: "join"},
	{kind: faultWipe, nodes: []int{2}, length: time.Second, how: "join", at: 5 * time.Second},
}
