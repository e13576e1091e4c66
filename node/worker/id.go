package worker

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/big"
	"strconv"
)

// MaxIDLen is the most bytes that a text id, or the decimal form of an integer id, may
// have.
const MaxIDLen = 256

// ErrBadID is what every refusal of an id wraps.
var ErrBadID = errors.New("an id is an integer or a string of at most 256 bytes")

// An ID names one unit of work. It is an integer of any size, or a string of at most
// [MaxIDLen] bytes. A string that is a canonical decimal is that integer, so IDs are
// comparable: two that mean the same are ==. The zero ID is the integer 0.
type ID struct {
	num  int64  // the integer if text is "", else a hash of text
	text string // the string, or the decimal of an integer that does not fit an int64
}

// emptyText is the text of the empty string. No other id has it as its text, because it
// is the decimal of a small integer.
const emptyText = "0"

// IntID returns the id of an integer.
func IntID(n int64) ID { return ID{num: n} }

// BigID returns the id of an integer of any size up to [MaxIDLen] digits.
func BigID(n *big.Int) (ID, error) {
	if n.IsInt64() {
		return IntID(n.Int64()), nil
	}
	// A digit is more than three bits: refuse before a huge number is turned into text.
	if n.BitLen() > MaxIDLen*4 {
		return ID{}, fmt.Errorf("integer of about %d digits: %w", n.BitLen()*3/10, ErrBadID)
	}
	return ParseID(n.String())
}

// ParseID returns the id that s writes: the integer if s is a canonical decimal
// (-?(0|[1-9][0-9]*), but not -0), otherwise the string itself.
func ParseID(s string) (ID, error) {
	if len(s) > MaxIDLen {
		return ID{}, fmt.Errorf("%d bytes: %w", len(s), ErrBadID)
	}
	if canonicalDecimal(s) {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return IntID(n), nil
		}
	}
	return ID{num: int64(hash64(s)), text: cmp.Or(s, emptyText)}, nil
}

// String returns the form that [ParseID] reads.
func (id ID) String() string {
	switch id.text {
	case "":
		return strconv.FormatInt(id.num, 10)
	case emptyText:
		return ""
	}
	return id.text
}

// MarshalBinary returns the bytes that [ParseID] reads.
func (id ID) MarshalBinary() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalBinary is ParseID.
func (id *ID) UnmarshalBinary(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// Int64 returns the integer, if the id is one that fits.
func (id ID) Int64() (n int64, ok bool) {
	if id.text != "" {
		return 0, false
	}
	return id.num, true
}

// IsInt reports whether the id is an integer.
func (id ID) IsInt() bool { return id.text == "" || id.text != emptyText && canonicalDecimal(id.text) }

// Compare orders integers by value and before strings, and those by bytes.
func (id ID) Compare(other ID) int {
	if id.IsInt() != other.IsInt() {
		if id.IsInt() {
			return -1
		}
		return 1
	}
	if !id.IsInt() {
		return cmp.Compare(id.String(), other.String())
	}
	if id.text == "" && other.text == "" {
		return cmp.Compare(id.num, other.num)
	}
	return id.big().Cmp(other.big())
}

func (id ID) big() *big.Int {
	n, _ := new(big.Int).SetString(id.String(), 10)
	return n
}

// Mod returns the id modulo n, from 0 to n-1: of an integer the Euclidean modulo (-1 mod
// 3 = 2), of a string its 64-bit FNV-1a hash modulo n. N must be positive.
func (id ID) Mod(n int) int {
	switch {
	case id.text == "":
		m := id.num % int64(n)
		if m < 0 {
			m += int64(n)
		}
		return int(m)
	case id.IsInt():
		x := id.big()
		return int(x.Mod(x, big.NewInt(int64(n))).Int64()) // Mod is Euclidean
	default:
		return int(uint64(id.num) % uint64(n))
	}
}

// Hash returns an integer of at most 64 bits as it is, and of any other id the 64-bit
// FNV-1a hash of its text.
func (id ID) Hash() uint64 { return uint64(id.num) }

func hash64(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

func canonicalDecimal(s string) bool {
	digits := s
	if len(s) > 1 && s[0] == '-' {
		digits = s[1:]
	}
	if digits == "" || digits[0] == '0' && (len(digits) > 1 || len(s) > 1) {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}
