package model

// A Variant describes a mutant, and what catches it: a drill, an exhaustive search, or both;
// or a scene, in which ids have no place for longer than the protocol allows.
type Variant struct {
	Mutant Mutant
	Does   string
	Rule   int    // of README.md
	Breaks string // the rule in words

	Drill  string
	Finds  Breach // by the drill
	Search string
	Scene  string
}

// Variants are all mutants.
var Variants = []Variant{
	{
		Mutant: leaseFromReceipt, Does: "a lease counts from the receipt of the answer",
		Rule: 8, Breaks: "a lease counts from the moment at which its renewal was sent",
		Drill: "verification takes long", Search: "AB",
	},
	{
		Mutant: leaseBeforeViews, Does: "the lease is taken before the views of the same answer",
		Rule: 7, Breaks: "views, facts and lease of an answer are taken in one step",
		Drill: "a deposed leader keeps a member",
	},
	{
		Mutant: takesOlderAnswer, Does: "an answer with an older newest view replaces the views",
		Rule: 7, Breaks: "an answer that knows less is dropped",
		Drill: "an older answer comes last",
	},
	{
		Mutant: actsOnHint, Does: "a member acts on a view that came with a hint",
		Rule: 6, Breaks: "a hint carries no rights",
		Search: "-BA",
	},
	{
		Mutant: ackBeforeAdopting, Does: "a view is acknowledged before it is adopted",
		Rule: 4, Breaks: "a member acknowledges what it has adopted",
		Drill: "calls run while views and leaders change",
	},
	{
		Mutant: noBusy, Does: "renewals do not list running ids",
		Rule: 4, Breaks: "a renewal lists what runs without being the member's own",
		Drill: "calls run while views and leaders change", Search: "AB",
	},
	{
		Mutant: busyOneView, Does: "the list leaves out calls that are more than one view old",
		Rule: 4, Breaks: "the list has all such calls, however old",
		Drill: "a member misses a view",
	},
	{
		Mutant: busySentOnce, Does: "the list is sent once",
		Rule: 4, Breaks: "every renewal has the full list",
		Drill: "calls run while views and leaders change",
	},
	{
		Mutant: busyOfOldView, Does: "the list is drawn up under the view before",
		Rule: 12, Breaks: "the list is drawn up under the view that it acknowledges",
		Drill: "calls run while views and leaders change",
	},
	{
		Mutant: busyUnchecked, Does: "a start does not look at what others run",
		Rule: 9, Breaks: "no id is started that another member still runs",
		Drill: "calls run while views and leaders change", Search: "AB",
	},
	{
		Mutant: busyWhileViewLives, Does: "a running id counts only while a view that has it is not retired",
		Rule: 9, Breaks: "a running id counts, whatever its view",
		Drill: "calls run while views and leaders change",
	},
	{
		Mutant: olderViewsUnchecked, Does: "a start looks at the newest view only",
		Rule: 9, Breaks: "a start waits for those who acted in older views",
		Drill: "a member misses a view", Search: "AB",
	},
	{
		Mutant: registersLate, Does: "a call is entered as running some time after the check",
		Rule: 9, Breaks: "check, token and entry are one step",
		Drill: "calls run while views and leaders change",
	},
	{
		Mutant: leaseByTimer, Does: "a timer ends the lease",
		Rule: 9, Breaks: "a start reads the clock",
		Drill: "a member misses a view",
	},
	{
		Mutant: wallClock, Does: "leases are read from a clock that can be set",
		Rule: 8, Breaks: "the clock of a lease cannot be set, and counts sleep",
		Drill: "a clock is set back", Finds: Refused,
	},
	{
		Mutant: answerUnchecked, Does: "nothing is checked before an answer",
		Rule: 10, Breaks: "an answer needs the lease of the start",
		Drill: "a member is set aside during a call, and comes back", Finds: Torn,
	},
	{
		Mutant: answerIfMayStart, Does: "an answer is given if a start would be allowed",
		Rule: 10, Breaks: "the lease has held without a gap",
		Drill: "a member is set aside during a call, and comes back", Finds: Fenced,
	},
	{
		Mutant: counterRestarts, Does: "the counter of tokens restarts after a gap",
		Rule: 11, Breaks: "the counter never falls within an incarnation",
		Drill: "the clock of the leader is fast, and that of a member slow", Finds: Falling,
	},
	{
		Mutant: incarnationReused, Does: "a process that restarts keeps its incarnation",
		Rule: 11, Breaks: "an incarnation is never reused",
		Drill: "a process restarts at once", Finds: Falling,
	},
	{
		Mutant: leaverReleases, Does: "a member that leaves lists no running ids, and exits",
		Rule: 14, Breaks: "a member that leaves is a member until no call of it runs",
		Drill: "a member leaves while it runs calls",
	},
	{
		Mutant: noWaitAfterElection, Does: "a new leader knows of no grants before its election",
		Rule: 15, Breaks: "the election counts as the last grant to everybody",
		Drill: "a deposed leader keeps a member", Search: "AB",
	},
	{
		Mutant: waitsFromCandidacy, Does: "the candidacy counts as the last grant",
		Rule: 15, Breaks: "the election counts, not the candidacy",
		Drill: "votes travel slowly",
	},
	{
		Mutant: grantsBeforeBarrier, Does: "a new leader grants before an entry of its term is applied",
		Rule: 15, Breaks: "a leader acts only when it knows all that is committed",
		Drill: "a new leader does not know yet what is committed", Search: "AB",
	},
	{
		Mutant: noMargin, Does: "the leader waits for a lease as long as the member has it",
		Rule: 16, Breaks: "the wait has a margin for both clocks",
		Drill: "the clock of the leader is fast, and that of a member slow",
	},
	{
		Mutant: marginOfTwoDrifts, Does: "the margin is twice the drift",
		Rule: 16, Breaks: "the margin is exact",
		Drill: "the clock of the leader is fast, and that of a member slow",
	},
	{
		Mutant: takesOverOnSuspicion, Does: "the rights of a failed member end at once",
		Rule: 16, Breaks: "rights end when the lease has run out",
		Search: "AB",
	},
	{
		Mutant: verifiesFirst, Does: "the answer is composed after the verification",
		Rule: 16, Breaks: "the verification covers what the answer says",
		Drill: "the leader pauses before it answers",
	},
	{
		Mutant: recordsLate, Does: "the grant is recorded after the verification",
		Rule: 16, Breaks: "answer and record are one step",
		Drill: "verification takes long", Search: "AB",
	},
	{
		Mutant: neverVerifies, Does: "leadership is not verified",
		Rule: 16, Breaks: "an answer goes out after a majority has confirmed the leader",
		Drill: "votes travel slowly", Search: "AB",
	},
	{
		Mutant: verifiesForHalfSecond, Does: "a verification holds for half a second",
		Rule: 16, Breaks: "the majority is asked after the answer was composed",
		Drill: "a deposed leader keeps a member",
	},
	{
		Mutant: ownLeaseUnverified, Does: "the leader does not verify its own lease",
		Rule: 16, Breaks: "the leader's own renewals take the same path",
		Drill: "a deposed leader keeps a member",
	},
	{
		Mutant: countsOldReplies, Does: "replies to older messages count as a verification",
		Rule: 17, Breaks: "only replies to this question count",
		Drill: "a deposed leader keeps a member",
	},
	{
		Mutant: goneIgnored, Does: "members that are not in the newest view hold nothing up",
		Rule: 19, Breaks: "a view waits for every member in it",
		Drill: "a process restarts at once",
	},
	{
		Mutant: retiresByNumber, Does: "a view retires when the view after the next is committed",
		Rule: 19, Breaks: "a view waits until every member has gone beyond it",
		Drill: "a new leader does not know yet what is committed",
	},
	{
		Mutant: retiresBusy, Does: "a view retires while ids still run",
		Rule: 19, Breaks: "a view waits until no member runs what is not its own",
		Drill: "a new leader hears of a running id late",
	},
	{
		Mutant: wipedVotes, Does: "a voter whose disk was wiped votes under its old id",
		Rule: 22, Breaks: "a wiped voter has no vote",
		Drill: "a voter loses its disk",
	},
	{
		Mutant: keepsOldFacts, Does: "facts of members that are in no view any more are kept",
		Rule: 7, Breaks: "a member forgets them, or it can wait for ever",
		Drill: "a member has gone before all know that it is idle", Finds: Stuck,
	},
	{
		Mutant: deafUnsaid, Does: "a member does not say that it is deaf",
		Rule: 13, Breaks: "a member says that it is deaf",
		Scene: "a member hears nothing, and is heard",
	},
	{
		Mutant: leaseToAll, Does: "everybody gets a lease",
		Rule: 18, Breaks: "a lease needs a member that hears the leader and follows",
		Scene: "a member hears nothing, and is heard",
	},
	{
		Mutant: leavesEarly, Does: "a member exits before the log has retired its views",
		Rule: 14, Breaks: "a member exits when the log has retired its views",
		Scene: "SIGTERM of a member, and leadership moves within 0.3 s",
	},
	{
		Mutant: leaversHoldViews, Does: "a view is kept until those that leave it have acknowledged a newer one",
		Rule: 19, Breaks: "a view waits for those that have a seat in it",
		Scene: "rolling restart of all, 0.3 s apart",
	},
	{
		Mutant: leaversWait, Does: "a member that leaves waits for the next view",
		Rule: 20, Breaks: "a view without a member that leaves comes at once",
		Scene: "rolling restart of all, 0.3 s apart",
	},
	{
		Mutant: noTransfer, Does: "a leader that leaves does not transfer leadership",
		Rule: 14, Breaks: "a leader transfers leadership first",
		Scene: "rolling restart of all, 4 s apart",
	},
	{
		Mutant: noHint, Does: "the leader sends no hints",
		Rule: 21, Breaks: "the leader hints at news",
		Scene: "SIGTERM of a member",
	},
	{
		Mutant: renewsBySecond, Does: "a member renews every second and on hints only",
		Rule: 12, Breaks: "a member renews at once when it has news",
		Scene: "SIGTERM of a member",
	},
	{
		Mutant: neverRetires, Does: "the log retires no views",
		Rule: 19, Breaks: "the leader commits the retirement",
		Scene: "rolling restart of all, 4 s apart",
	},
}
