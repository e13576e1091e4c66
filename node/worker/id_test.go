package worker

import (
	"errors"
	"math/big"
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0", "7", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
		"-123456789012345678901234567890", strings.Repeat("9", MaxIDLen)} {
		id, err := ParseID(s)
		if err != nil || !id.IsInt() || id.String() != s {
			t.Errorf("ParseID(%s) = %v, int %v, %v", s, id, id.IsInt(), err)
		}
		n, _ := new(big.Int).SetString(s, 10)
		if same, err := BigID(n); err != nil || same != id {
			t.Errorf("BigID(%s) = %#v, %v; want what ParseID returns: %#v", s, same, err, id)
		}
	}
	for _, s := range []string{"", "-0", "-", "01", "+1", "1.0", " 1", "1 ", "1e3", "0x1", "١", "a", "\x00", "é",
		strings.Repeat("x", MaxIDLen)} {
		id, err := ParseID(s)
		if err != nil || id.IsInt() || id.String() != s {
			t.Errorf("ParseID(%q) = %v, int %v, %v", s, id, id.IsInt(), err)
		}
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 1<<20)
	if _, err := BigID(huge); !errors.Is(err, ErrBadID) {
		t.Errorf("BigID(2^2^20) = %v, want %v", err, ErrBadID)
	}
	if _, err := ParseID(strings.Repeat("x", MaxIDLen+1)); !errors.Is(err, ErrBadID) {
		t.Errorf("ParseID of 257 bytes = %v, want %v", err, ErrBadID)
	}
	empty, _ := ParseID("")
	if empty == (ID{}) {
		t.Error("the empty string is the id 0")
	}
}

// TestMod checks Euclidean modulo against math/big, and FNV-1a against published values
// (RFC 9923, test vectors for FNV-1a-64).
func TestMod(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0", "1", "-1", "-7", "9223372036854775807", "-9223372036854775808", "18446744073709551617",
		"-18446744073709551617"} {
		id, _ := ParseID(s)
		n, _ := new(big.Int).SetString(s, 10)
		for _, size := range []int{1, 2, 3, 7, 1000} {
			want := int(new(big.Int).Mod(n, big.NewInt(int64(size))).Int64())
			if got := id.Mod(size); got != want {
				t.Errorf("%s mod %d = %d, want %d", s, size, got, want)
			}
		}
	}
	for s, hash := range map[string]uint64{"": 0xcbf29ce484222325, "a": 0xaf63dc4c8601ec8c, "foobar": 0x85944171f73967e8} {
		id, _ := ParseID(s)
		if got, want := id.Mod(1000), int(hash%1000); got != want {
			t.Errorf("%q mod 1000 = %d, want %d", s, got, want)
		}
	}
}

func TestCompareIDs(t *testing.T) {
	t.Parallel()
	sorted := []string{"-99999999999999999999", "-5", "0", "3", "10", "99999999999999999999", "", "-0", "a", "b"}
	for i, a := range sorted {
		for j, b := range sorted {
			x, _ := ParseID(a)
			y, _ := ParseID(b)
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := x.Compare(y); got != want {
				t.Errorf("%q compared to %q = %d, want %d", a, b, got, want)
			}
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "0", "-0", "-1", "007", "99999999999999999999999", "a", "\xff"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		id, err := ParseID(s)
		if err != nil {
			if len(s) <= MaxIDLen {
				t.Errorf("%q refused: %v", s, err)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q became %q", s, id)
		}
		if n > 0 {
			if m := id.Mod(n); m < 0 || m >= n {
				t.Errorf("%q mod %d = %d", s, n, m)
			}
		}
		if x, ok := new(big.Int).SetString(s, 10); ok && x.String() == s {
			if same, err := BigID(x); err != nil || same != id {
				t.Errorf("%q as an integer is %#v, %v; as a string %#v", s, same, err, id)
			}
		} else if id.IsInt() {
			t.Errorf("%q is taken for an integer", s)
		}
	})
}
