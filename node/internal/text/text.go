package text

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Quote quotes the beginning of a text.
func Quote(s string) string { return strconv.Quote(Clip(s)) }

// Clip is the beginning of a text.
func Clip(s string) string {
	const limit = 60
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

// Parse sets v to the constant of that name. Names are in the order of the constants.
func Parse[T ~uint8](v *T, what string, names []string, name []byte) error {
	i := slices.Index(names, string(name))
	if i < 0 {
		return errors.New(what + " " + Quote(string(name)) + ": say " + strings.Join(names, ", "))
	}
	*v = T(i)
	return nil
}
