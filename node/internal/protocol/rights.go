package protocol

import "github.com/distproc/distproc/wire"

// A node with the cluster's cookie may open a session before it has a slot, or after it
// has lost it. Its rights then:
//
//	OpSync       yes, but it counts only for the asker itself: it may know the cluster
//	             that this node has left
//	OpRetire     yes: it is about the session that it comes on
//	OpKinds      yes: so
//	OpBarrier    yes: this node reads, and reconciles with members alone
//	OpHolds      yes: this node reads
//	OpWorkers    yes: so
//	OpInfo       yes: so
//	OpInspect    yes: so
//	OpHandOff    no: members would be given the values
//	OpAnswers    no: so
//	OpDetach     no
//	OpStop       no
//	OpForceStop  no
//	OpInvalidate no
//	OpRenew      yes: a quorum knows itself who has a seat
//	OpTerm       yes: this node reads
//	OpIntroduce  yes: so
//	OpHint       yes: it carries no rights
//	OpChange     no
//	OpEvents     yes: this node reads
//	OpTrace      no: it would see the messages and values of others
//	OpLoads      yes: this node reads
//	OpFigures    yes: so
//	OpHottest    yes: so
//
// A client has other operations (serveClient), and none of these but OpChange, OpEvents,
// OpTrace, OpLoads, OpFigures and OpHottest.

// OnlyMembers reports whether an operation is for members alone.
func OnlyMembers(op wire.Op) bool {
	return op == OpHandOff || op == OpAnswers || op == OpDetach || op == OpStop || op == OpForceStop || op == OpInvalidate || op == OpChange || op == OpTrace
}
