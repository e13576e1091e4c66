package worker

import (
	"fmt"

	"github.com/distproc/distproc/wire/text"
)

// An Outcome says what became of a call that failed.
type Outcome uint8

const (
	OutcomeUnknown Outcome = iota // it may have run
	OutcomeNotRun                 // it did not run; it is safe to ask again
	OutcomeRan                    // it ran, and the error is its result
)

var outcomes = [...]string{OutcomeUnknown: "unknown", OutcomeNotRun: "not run", OutcomeRan: "ran"}

func (o Outcome) String() string { return outcomes[min(o, OutcomeRan)] }

// MarshalText returns the name of the outcome.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads unknown, not run or ran.
func (o *Outcome) UnmarshalText(name []byte) error {
	return text.Parse(o, "outcome", outcomes[:], name)
}

// NotRun marks an error of a [Source], or of a [Server]'s Call, that came before anything
// was done. The outcome of the call is [OutcomeNotRun] instead of [OutcomeRan].
func NotRun(err error) error { return Failure{err, OutcomeNotRun} }

// MayHaveRun marks an error of a [Source], or of a [Server]'s Call, that leaves open
// whether anything was done: a connection broke before the answer came, say. The outcome
// of the call is [OutcomeUnknown] instead of [OutcomeRan].
func MayHaveRun(err error) error { return Failure{err, OutcomeUnknown} }

// A Failure is an error of a [Source] or a [Server] that says what became of the run.
// [NotRun] and [MayHaveRun] return it.
type Failure struct {
	Err     error
	Outcome Outcome
}

func (f Failure) Error() string { return fmt.Sprint(f.Err) }

// Unwrap returns Err.
func (f Failure) Unwrap() error { return f.Err }
