package worker

import "time"

// A Quorum is what a node knows of the voters of strict kinds, and of its own lease.
type Quorum struct {
	Lease  time.Duration // left of the node's lease; 0 if it has no valid one, and starts no call of a strict kind
	Epoch  uint64        // of the newest view that the node has; 0 if it has none yet
	Views  int           // that the node has and that are not retired: more than one while members change, or one is lost
	Voters []string      // names
	Voter  bool          // the node is one of them
	Leads  bool          // the node leads them, and gives the leases
	Quorum bool          // a leader has answered within the time of a lease
	Silent []string      // voters that did not answer when they were asked last; empty with a quorum
	Why    string        // why there is no quorum; empty with a quorum

	Elections uint64 // terms in which this node has begun to lead, since its start
	ViewsSeen uint64 // views that were the newest one of this node, since its start
}

// A Custody is what a node knows of the right to run calls of an id of a strict kind.
type Custody struct {
	Quorum          // of Node
	Node     string // which says all this; the member that acts for the id, unless that cannot be asked
	Acting   string // the member that acts for the id under the newest view; empty if there is none
	Holders  []Holder
	Occupied string        // a member that may still run a call of the id, so that Acting must wait; usually empty
	Waits    string        // what a call of the id would wait for on Node; empty if it could start now
	Runs     time.Duration // how long a call of the id has run on Node; 0 if none runs
	Stuck    bool          // that call goes on although its time was up a second ago
	Token    Token         // of the last call of the server that Node has of the id; zero without a server
}

// A Holder is a member that may still run calls under a view which is not the newest one. So
// that view is not retired, and the ids that it gave the member wait.
type Holder struct {
	Member string
	Epoch  uint64
	Busy   int // ids of calls that it still runs, as far as is known
}

// MaxHolders is how many holders a Custody lists at most, those of the oldest views first.
const MaxHolders = 16

// A Stopped is what became of the server that a node had of an id which was given up by force.
type Stopped struct {
	Node  string
	Runs  time.Duration // how long the call has run that goes on all the same, or the end of the server; 0 if nothing does
	Token Token         // of that call, which alone protects what it still changes; zero without a call
}
