package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Code is an error that crosses the wire as a number, and a sentinel for errors.Is. New
// codes are appended; a number is never reused.
type Code uint16

const (
	codeOK           Code = iota
	NotOwner              // the id belongs to another node in the answering node's view
	Overloaded            // a bounded queue is full
	DeadlineExceeded      // the call's deadline passed
	Canceled              // the caller gave up
	SourceFailed          // the worker's source returned an error
	Panicked              // the worker's source panicked
	BadRequest            // the peer could not make sense of the request
	UnknownOperation      // the peer does not know this operation: it is older, or newer
	Unreachable           // no session, or it broke
	Closed                // this side is closed
	Leaving               // the peer is leaving the cluster and takes no more calls
	WrongCookie           // the two sides have different cookies
	WrongVersion          // the two sides have no protocol version in common
	NameTaken             // another live node has that name
	_                     // was AlreadyConnected, which no node sends any more
	WrongName             // the peer is not the node that was dialed
	Internal              // a bug or a broken peer
	UnknownKind           // the peer has no such kind of worker
	Disagreement          // the two nodes have incompatible settings
	CallCycle             // the worker waits for itself
	WrongType             // the value is not of the type that was asked for
	Apart                 // the node was disconnected and starts no server, because its cluster may have one
	NoQuorum              // no member may start a call of a strict kind, as too few voters can be reached
	Fenced                // the right to run the call ended before the call did
)

var codeText = [...]string{
	codeOK:           "ok",
	NotOwner:         "not the owner",
	Overloaded:       "overloaded",
	DeadlineExceeded: "deadline exceeded",
	Canceled:         "canceled",
	SourceFailed:     "source failed",
	Panicked:         "worker panicked",
	BadRequest:       "bad request",
	UnknownOperation: "unknown operation",
	Unreachable:      "unreachable",
	Closed:           "closed",
	Leaving:          "leaving the cluster",
	WrongCookie:      "wrong cookie",
	WrongVersion:     "no common protocol version",
	NameTaken:        "name taken",
	WrongName:        "another node answers there",
	Internal:         "internal error",
	UnknownKind:      "unknown kind",
	Disagreement:     "nodes disagree",
	CallCycle:        "call cycle",
	WrongType:        "wrong type",
	Apart:            "apart from the cluster",
	NoQuorum:         "no quorum",
	Fenced:           "fenced",
}

// Codes lists the codes of this version.
func Codes() (list []Code) {
	for c := range Code(len(codeText)) {
		if c.Known() {
			list = append(list, c)
		}
	}
	return list
}

// Known reports whether this version has the code. A peer may send any number.
func (c Code) Known() bool { return c > codeOK && int(c) < len(codeText) && codeText[c] != "" }

func (c Code) Error() string {
	if c == codeOK || c.Known() {
		return codeText[c]
	}
	return fmt.Sprintf("error %d (of a newer version)", uint16(c))
}

// An Outcome says whether a failed call has run.
type Outcome uint8

const (
	Unknown Outcome = iota // the call may have run
	NotRun                 // the call did not run and can be repeated safely
	Ran                    // the call ran, and this error is its result
)

func (o Outcome) String() string {
	return [...]string{"unknown", "not run", "ran"}[min(o, 2)]
}

// An Error is a failed call with its outcome. Errors.Is matches its Code, and
// [context.DeadlineExceeded] or [context.Canceled] for those codes.
type Error struct {
	Code    Code
	Outcome Outcome
	Node    string   // where it happened, if known
	Text    string   // details besides the code; may be empty
	GaveUp  bool     // the call was sent, and this side gave up before the peer had answered
	Members []Member // with NotOwner: the peer's view; with NameTaken: the node with that name, if known
}

func (e *Error) Error() string {
	s := e.Code.Error()
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Node != "" {
		s = e.Node + ": " + s
	}
	return s
}

// Is reports whether target is the error's Code or the equivalent error of package
// context.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == DeadlineExceeded
	case context.Canceled:
		return e.Code == Canceled
	}
	c, ok := target.(Code)
	return ok && c == e.Code
}

// Errorf returns an Error with a formatted text.
func Errorf(code Code, outcome Outcome, format string, args ...any) *Error {
	return &Error{Code: code, Outcome: outcome, Text: fmt.Sprintf(format, args...)}
}

// Lost reports whether a call failed because there was no session or it broke, rather
// than by an answer of the peer.
func (e *Error) Lost() bool { return e.Code == Unreachable || e.Code == Closed }

// Ended returns the error of a call whose context ended with the error why.
func Ended(why error, outcome Outcome) *Error {
	code := Canceled
	if errors.Is(why, context.DeadlineExceeded) {
		code = DeadlineExceeded
	}
	return &Error{Code: code, Outcome: outcome}
}

// asError returns the *Error in err, or wraps err as one.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: DeadlineExceeded}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Canceled}
	}
	if c, ok := errors.AsType[Code](err); ok {
		return Errorf(c, Unknown, "%s", strings.TrimPrefix(err.Error(), c.Error()))
	}
	return &Error{Code: Internal, Text: err.Error()}
}
