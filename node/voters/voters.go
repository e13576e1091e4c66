// Package voters has what [node.Client] says of the voters of strict kinds, and the recovery
// of a voter when a majority of them is gone for good.
//
// A cluster with strict kinds has 1, 3 or 5 voters, which keep a log by raft. They are changed
// one at a time, by [node.Client.ChangeVoters], while the cluster runs. The rules are in
// node/internal/quorum/model.
package voters

import "github.com/distproc/distproc/node/internal/quorum"

// A Report says who the voters are by their log, and how they are, as one node of the cluster
// sees it. Report.Quorum reports whether a majority of them answers and one leads.
type Report = quorum.Report

// A Voter is how one node is: a voter, or one that is to become a voter.
type Voter = quorum.Standing

// The roles of a Voter.
const (
	Leads   = quorum.RoleLeads
	Follows = quorum.RoleFollows
	Joins   = quorum.RoleJoins // it gets the log, and has no vote yet
	None    = quorum.RoleNone  // only --voters of the node that was asked names it
)

// A Change adds the voter Name, NAME@HOST, if Add is set, and else removes it. It is given up
// after Timeout, which has to be set: some seconds.
type Change = quorum.Change

// A Changed says what became of a change: it is done, or Why says why not.
type Changed = quorum.Changed

// A Recovery makes one voter the only one when a majority of the voters is gone for good.
// The cluster loses what the log of that voter lacks. The user must have stopped all other
// voters, and must never start a node on their data directories again: two halves of a
// cluster would act for the same ids.
type Recovery = quorum.Recovery

// OpenRecovery opens the data directory of the voter of a name, NAME@HOST, whose node does not
// run. Nothing is changed before [Recovery.Do]. The caller closes the recovery, which no other
// process can open meanwhile. An error says what is wrong with the directory.
func OpenRecovery(dir, name string) (*Recovery, error) { return quorum.OpenRecovery(dir, name) }
