package protocol

import (
	"testing"

	"github.com/distproc/distproc/wire"
)

// TestOperationNumbers has the numbers of operations, by which versions of this package
// understand each other: they stay, and new ones are appended.
func TestOperationNumbers(t *testing.T) {
	for i, op := range []wire.Op{
		OpSync, OpConnect, OpOwner, OpMembers, OpWorkers, OpInfo, OpInspect, OpStop, OpDetach, OpDisconnect, OpNodes, OpWhy, OpPing,
		OpVia, OpRetire, OpHandOff, OpBarrier, OpHolds, OpKinds, OpView, OpInvalidate, OpAlone, OpAnswers,
		OpRenew, OpTerm, OpIntroduce, OpHint, OpVoters, OpChange, OpForceStop,
		OpEvents, OpTrace, OpLoads, OpFigures, OpHottest,
	} {
		if want := wire.Op(i + 1); op != want {
			t.Errorf("operation %d has the number %d", want, op)
		}
	}
}
