package worker_test

import (
	"cmp"
	"math"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

// TestTokenOrder checks that the texts of tokens are in the order of the tokens.
func TestTokenOrder(t *testing.T) {
	t.Parallel()
	var list []worker.Token
	for _, epoch := range []uint64{0, 1, 9, 10, 15, 16, 255, 1 << 32, math.MaxUint64 - 1, math.MaxUint64} {
		for _, count := range []uint64{0, 1, 15, 16, 1 << 40, math.MaxUint64} {
			list = append(list, worker.Token{Epoch: epoch, Count: count})
		}
	}
	for i, a := range list {
		if len(a.String()) != 33 {
			t.Errorf("%s has %d bytes", a, len(a.String()))
		}
		if b, err := worker.ParseToken(a.String()); err != nil || b != a {
			t.Errorf("%s is read as %s, %v", a, b, err)
		}
		for j, b := range list {
			if want := cmp.Compare(i, j); a.Compare(b) != want || strings.Compare(a.String(), b.String()) != want {
				t.Errorf("%s and %s compare as %d, and as text %d", a, b, a.Compare(b), strings.Compare(a.String(), b.String()))
			}
		}
	}
}

// TestParseTokenErrors checks that each token has one text.
func TestParseTokenErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ".", "7.42", "0000000000000007", "0000000000000007.", ".000000000000002a", "0000000000000007.000000000000002A",
		"0000000000000007.000000000000002a.", "0000000000000007.000000000000002a ", "+000000000000007.000000000000002a",
		"0x00000000000007.000000000000002a", "0000000000000007-000000000000002a", "000000000000000g.000000000000002a",
		"00000000000000007.00000000000002a", "0000_00000000007.000000000000002a",
	} {
		if tok, err := worker.ParseToken(s); err == nil || !strings.Contains(err.Error(), "is no token") {
			t.Errorf("%q is read as %s, %v", s, tok, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add("0000000000000007.000000000000002a", uint64(7), uint64(43))
	f.Add("", uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, s string, epoch, count uint64) {
		a := worker.Token{Epoch: epoch, Count: count}
		if b, err := worker.ParseToken(a.String()); err != nil || a != b {
			t.Fatalf("%s is read as %s, %v", a, b, err)
		}
		b, err := worker.ParseToken(s)
		if err != nil {
			return
		}
		if b.String() != s || strings.Compare(a.String(), s) != a.Compare(b) {
			t.Errorf("%q is read as %s, which compares with %s as %d", s, b, a, a.Compare(b))
		}
	})
}
