package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestQuotedPeer has errors that quote what a peer sent: they are short.
func TestQuotedPeer(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sendGob(&b, []named[named[named[named[named[named[int]]]]]]{{1}}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "named[github.com/distproc/distproc/wire.named[") {
		t.Fatalf("no name of a type in %q", b.String())
	}
	if err := recvGob(&b, new(string), maxHello); err == nil || len(err.Error()) != maxLogText+len("decode: ") {
		t.Errorf("decode = %v", err)
	}
	if s := dialError(t.Context(), "host:1", errors.New(strings.Repeat("x", 1000))); len(s) > maxLogText {
		t.Errorf("the error of a dial has %d bytes", len(s))
	}
}

type named[T any] struct{ N int }

// TestNumbersOnTheWire has the numbers by which versions of this package understand each
// other: they stay, and new ones are appended.
func TestNumbersOnTheWire(t *testing.T) {
	t.Parallel()
	codes := []Code{
		codeOK, NotOwner, Overloaded, DeadlineExceeded, Canceled, SourceFailed, Panicked, BadRequest, UnknownOperation, Unreachable,
		Closed, Leaving, WrongCookie, WrongVersion, NameTaken, 15, WrongName, Internal, UnknownKind, Disagreement,
		CallCycle, WrongType, Apart, NoQuorum, Fenced,
	}
	if len(codes) != len(codeText) {
		t.Errorf("%d codes have texts, %d are here: append new ones", len(codeText), len(codes))
	}
	inOrder(t, codes, func(i int) int { return i })
	inOrder(t, []Outcome{Unknown, NotRun, Ran}, func(i int) int { return i })
	inOrder(t, []Role{RoleMember, RoleClient, RoleLink, RoleVoter}, func(i int) int { return i })
	inOrder(t, []MemberState{Alive, Failed, Left, Reaped}, func(i int) int { return i })
	flag := func(i int) int { return 1 << i }
	inOrder(t, []int{callText, callForward, callVoid, callFresh, callMessage, callInt, callRelay}, flag)
	inOrder(t, []int{replyInt, replyCached, replyDegraded, replyStale}, flag)
}

func inOrder[N ~int | ~uint8 | ~uint16](t *testing.T, list []N, want func(int) int) {
	t.Helper()
	for i, n := range list {
		if int(n) != want(i) {
			t.Errorf("%T %d is %d, want %d", n, i, n, want(i))
		}
	}
}
