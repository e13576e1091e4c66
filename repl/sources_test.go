package repl

import (
	"fmt"
	"strings"
	"testing"
)

// TestSources keeps more inputs than there may be, and larger ones: the oldest ones go. One of
// the same name takes the place of the one before.
func TestSources(t *testing.T) {
	t.Parallel()
	var s sources
	keep := func(name string, bytes int) { s.keep(&chunk{name: name, lines: []string{strings.Repeat("x", bytes)}}) }
	expect := func(names, bytes int, last string) {
		t.Helper()
		if len(s.names) != names || len(s.chunks) != names || s.bytes != bytes || s.get(last) == nil {
			t.Errorf("%d names, %d inputs, %d bytes; want %d and %d, and %s among them", len(s.names), len(s.chunks), s.bytes, names, bytes, last)
		}
	}
	for i := range maxSources + 10 {
		keep(inputName(i), 1)
	}
	expect(maxSources, maxSources, inputName(10))
	for range 3 {
		keep("large", maxSourceBytes/2)
	}
	expect(maxSources, maxSources-1+maxSourceBytes/2, inputName(11))
	for i := range 4 {
		keep(fmt.Sprint("large", i), maxSourceBytes/4)
	}
	expect(4, maxSourceBytes, "large0")
	keep("too large", 2*maxSourceBytes)
	expect(1, 2*maxSourceBytes, "too large")
}
