package worker

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/distproc/distproc/node/internal/trace"
)

// A Token orders the calls of an id of a strict kind: a later one has a larger token,
// whichever node runs it. So a resource that the calls change can refuse a call that is late,
// because its node was paused or cut off and another has taken its place. The zero Token is of
// no call. Tokens are comparable.
type Token struct {
	Epoch uint64 // of the view of the cluster in which the call began
	Count uint64 // of calls of the node that runs it
}

// IsZero reports whether t is the zero Token.
func (t Token) IsZero() bool { return t == Token{} }

// Compare returns -1, 0 or 1 if t is less than, equal to or greater than u.
func (t Token) Compare(u Token) int {
	return cmp.Or(cmp.Compare(t.Epoch, u.Epoch), cmp.Compare(t.Count, u.Count))
}

// String returns the token in 33 bytes that compare as the tokens do, so that a resource can
// keep and compare them as text.
func (t Token) String() string { return fmt.Sprintf("%016x.%016x", t.Epoch, t.Count) }

// ParseToken reads what [Token.String] returns.
func ParseToken(s string) (Token, error) {
	epoch, count, ok := strings.Cut(s, ".")
	if ok && len(epoch) == 16 && len(count) == 16 {
		e, err1 := strconv.ParseUint(epoch, 16, 64)
		c, err2 := strconv.ParseUint(count, 16, 64)
		if t := (Token{Epoch: e, Count: c}); err1 == nil && err2 == nil && t.String() == s {
			return t, nil
		}
	}
	return Token{}, fmt.Errorf("%q is no token: it has the form %s", s, Token{Epoch: 7, Count: 42})
}

// TokenOf returns the token of the call that has the context. It is zero if the kind is not
// strict.
func TokenOf(ctx context.Context) Token {
	t, _ := ctx.Value(trace.TokenKey{}).(Token)
	return t
}
