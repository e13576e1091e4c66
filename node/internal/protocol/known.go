package protocol

import (
	"errors"

	"github.com/distproc/distproc/wire"
)

// OfVoters reports whether an operation is about the voters of strict kinds.
func OfVoters(op wire.Op) bool {
	switch op {
	case OpRenew, OpTerm, OpIntroduce, OpHint, OpVoters, OpChange:
		return true
	}
	return false
}

// Known returns the error of an operation. If the peer did not know the operation, the
// error says so, and what to do. Nodes without voters of some older versions answered as if
// all that they did not know was about voters.
func Known(op wire.Op, err error) error {
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code == wire.UnknownOperation && e.Text != "" || e.Code != wire.UnknownOperation && (e.Code != wire.NoQuorum || OfVoters(op)) {
		return err
	}
	return &wire.Error{
		Code: wire.UnknownOperation, Outcome: wire.NotRun, Node: e.Node,
		Text: "the node is of an older version; upgrade it",
	}
}
