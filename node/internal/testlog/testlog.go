// Package testlog holds what a test has its nodes log.
package testlog

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// A Buffer holds what was written to it. The zero value is empty and ready for use. All
// methods may be called at the same time.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write appends p. It does not fail.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Lines returns how many of the lines written so far contain all the words.
func (b *Buffer) Lines(words ...string) (n int) {
	for line := range strings.Lines(b.String()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}
