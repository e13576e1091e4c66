// Package text writes and reads short texts for people and for JSON: beginnings of long
// texts, and the names of enumerations.
package text

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Quote quotes the beginning of a text.
func Quote(s string) string { return strconv.Quote(Clip(s)) }

// Clip returns the beginning of a text.
func Clip(s string) string {
	const limit = 60
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

// Parse sets v to the constant that has a name. Names are in the order of the constants,
// and what is their type in the error of one that is not among them.
func Parse[T ~uint8](v *T, what string, names []string, name []byte) error {
	i := slices.Index(names, string(name))
	if i < 0 {
		return errors.New(what + " " + Quote(string(name)) + ": say " + strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}
