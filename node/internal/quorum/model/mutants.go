package model

// A Mutant is the protocol with one rule broken.
type Mutant uint8

// Protocol is the protocol itself.
const Protocol Mutant = 0

const (
	leaseFromReceipt Mutant = 1 + iota
	leaseBeforeViews
	takesOlderAnswer
	actsOnHint
	ackBeforeAdopting
	noBusy
	busyOneView
	busySentOnce
	busyOfOldView
	busyUnchecked
	busyWhileViewLives
	olderViewsUnchecked
	registersLate
	leaseByTimer
	wallClock
	answerUnchecked
	answerIfMayStart
	counterRestarts
	incarnationReused
	leaverReleases
	noWaitAfterElection
	waitsFromCandidacy
	grantsBeforeBarrier
	noMargin
	marginOfTwoDrifts
	takesOverOnSuspicion
	verifiesFirst
	recordsLate
	neverVerifies
	verifiesForHalfSecond
	ownLeaseUnverified
	countsOldReplies
	goneIgnored
	retiresByNumber
	retiresBusy
	wipedVotes

	// These are safe, but ids wait for longer.
	deafUnsaid
	leaseToAll
	leavesEarly
	leaversHoldViews
	leaversWait
	noTransfer
	noHint
	renewsBySecond
	neverRetires
	keepsOldFacts

	mutants // how many there are
)
