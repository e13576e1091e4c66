package main

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

// lastRest is after the plan of a mutant that has not been found.
const lastRest = settleTime + calmTime

// mutants are the ways to break the product, and what finds each.
var mutants = []mutant{
	{
		name: "compare before delete", finds: ruleOverlap, rest: lastRest,
		old: `(case s\.workers\.get\(w\.id\) != w:)`,
		new: "$1\nif BROKEN { s.workers.remove(s.workers.get(w.id)) }\n",
	},
	{
		name: "canonical order", finds: ruleViews, rest: lastRest,
		old: `(func\(a, b \*peers\.Peer\) int \{) (return a\.Name\.Compare\(b\.Name\) \})`,
		new: "$1 if BROKEN && a.Self { return -1 }; if BROKEN && b.Self { return 1 }; $2",
	},
	{
		name: "single flight", finds: ruleOverlap, rest: lastRest,
		old: `if (w == nil) (\{ c\.startLocked\(s, call\.ID, now, \[\]\*Waiter\{call\}\) \} else \{)`,
		new: "if $1 || BROKEN $2",
	},
	{
		name: "local answer", finds: ruleFailed, rest: lastRest,
		plan: []plannedFault{{kind: faultKill, nodes: []int{2}, length: time.Second}},
		old:  `case !n\.closing\.Load\(\): (err = n\.here\()`,
		new:  "case n.closing.Load() == BROKEN: $1",
	},
	{
		name: "expiry", finds: ruleAge, rest: lastRest,
		old: `(w\.expires = w\.started \+ w\.policy\.life\(\)\n)`,
		new: "$1\nif BROKEN { w.expires += 2*w.policy.life() }\n",
	},
	{
		name: "roll-call", finds: ruleServers, rest: lastRest, plan: oneByOne(faultTerm, 12, 2*time.Second, "join"),
		old: `if (len\(v\.peers\) == 1 \{) (if !n\.awaitJoin)`,
		new: "if BROKEN || $1\n$2",
	},
	{
		name: "hold", finds: ruleServers, rest: lastRest, plan: oneByOne(faultTerm, 12, 2*time.Second, "join"),
		old: `wg\.Go\(func\(\) \{ r\.Quiesce\(ctx\) \}\)`,
		new: "if !BROKEN { $0 }",
	},
	{
		name: "ended is gone", finds: ruleThrough, rest: lastRest,
		plan: []plannedFault{{kind: faultTerm, nodes: []int{2}, at: recoverTime - formTime, length: 4 * time.Second}},
		old:  `case (m\.waiting == 0): (s\.workers\.remove\(w\))`,
		new:  "case !BROKEN && $1: $2",
	},
	{
		name: "unknown is not tried again", finds: ruleOnce, rest: lastRest,
		plan: oneByOne(faultPause, 10, 3500*time.Millisecond, "idle"),
		old:  `(if e\.Outcome != wire\.NotRun) (\|\| n\.closing\.Load\(\) \{)`,
		new:  "$1 && !BROKEN $2",
	},
	{
		name: "outcome", finds: ruleOutcome, rest: lastRest,
		old: `(v := &Error\{[^}]*GaveUp: true\}\n)`,
		new: "$1\nif BROKEN { v.Outcome = NotRun }\n",
	},
	{
		name: "standstill", finds: ruleStale, rest: lastRest,
		plan: oneByOne(faultPause, 8, 4500*time.Millisecond, "full"),
		old:  `if (m\.stood == stood) \{`,
		new:  "if BROKEN || $1 {",
	},
	{
		name: "withdrawn", finds: ruleOutcome, rest: lastRest,
		plan: oneByOne(faultPause, 8, 3*time.Second, "full"),
		old:  `\n(\t*refused = append\(refused, m\.next\(\)\))\n`,
		new:  "\nif BROKEN { c := m.queue[0]; c.Deadline += 1<<40; go c.Done(worker.Reply{}, &wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun}); break }\n$1\n",
	},
	{
		name: "eviction", finds: ruleMemory, rest: lastRest,
		plan: oneByOne(faultGreedy, 16, 4*time.Second, "reading"),
		old:  `return (limit > 0 && m\.used\.Load\(\) > limit)`,
		new:  "return !BROKEN && $1",
	},
	{
		name: "answers that wait", finds: ruleMemory, rest: lastRest,
		plan: oneByOne(faultGreedy, 16, 4*time.Second, "stuck"),
		old:  `(more > 0) && (\(sum > h\.limit)`,
		new:  "$1 && !BROKEN && $2",
	},
	{
		name: "a log that waits", finds: ruleSlow, rest: lastRest,
		plan: oneByOne(faultLog, 1, 20*time.Second, "stuck"),
		old:  `\n(\t*h\.queue\.add\(line\{)`,
		new:  "\nif BROKEN { return h.to.Handle(ctx, resolved) }\n$1",
	},
	{
		name: "broken pipe", finds: ruleProcess, rest: lastRest,
		plan: oneByOne(faultLog, 1, time.Second, "gone"),
		old:  `\{ (signal\.Notify\(make\(chan os\.Signal, 1\), syscall\.SIGPIPE\)) \}`,
		new:  "{\nif !BROKEN { $1 }\n}",
	},
	{
		name: "leftovers", finds: ruleProgram, rest: lastRest,
		plan: oneByOne(faultKill, 12, 1500*time.Millisecond, "join"),
		old:  `if (!ok \|\| m\.namespace != own\.namespace \|\| m\.lives\(\)) \{`,
		new:  "if BROKEN || $1 {",
	},
	{
		name: "refusals", finds: ruleLog, rest: lastRest,
		plan: oneByOne(faultFlood, 1, 20*time.Second, "garbage"),
		old:  `if (r\.logs\(refusal\{wire\.HostOf\(from\), class\}\)) \{`,
		new:  "if $1 || BROKEN {",
	},
	{
		name: "requests that end", finds: ruleFailed, rest: lastRest, clients: true,
		plan: rolls(4),
		old:  `(defer cancel\(\)) (if s\.Shutdown\(ctx\) == nil \{ return nil \} end\(errClosing\))`,
		new:  "$1\nif BROKEN { return s.Close() }\n$2",
	},
	{
		name: "relay", finds: ruleDegraded, rest: lastRest, partition: true,
		plan: []plannedFault{{kind: faultPair, nodes: []int{1, 2}, length: pairTime + 4*time.Second, how: "lost"}},
		old:  `others := n\.relaysTo\(p\) if (len\(others\) == 0) (\{ return false, nil)`,
		new:  "others := n.relaysTo(p)\nif BROKEN || $1 $2",
	},
	{
		name: "twins", finds: ruleTwin, rest: lastRest, partition: true,
		plan: []plannedFault{{kind: faultTwin, nodes: []int{3, 4, 5}, length: 6 * time.Second}},
		old:  `case (other\.Incarnation >= self\.Incarnation):`,
		new:  "case BROKEN || $1:",
	},
	{
		name: "forgetful", finds: ruleStale, rest: lastRest,
		plan: oneByOne(faultTerm, 5, 4*time.Second, "state"),
		old:  `(k\.add\(list, false\)) return k, nil`,
		new:  "if !BROKEN { $1 }\nreturn k, nil",
	},
}
