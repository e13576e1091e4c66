package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// A size is a number of bytes, written like 512MiB or 2GB. It is a flag, and a value of a
// file.
type size int64

// UnmarshalText reads the number from a file.
func (s *size) UnmarshalText(text []byte) error { return s.Set(string(text)) }

// Set reads the number from a flag.
func (s *size) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size; write it like 512MiB or 2GB", text)
	}
	*s = size(n)
	return nil
}

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return humanize.IBytes(uint64(*s))
}

// Type is what the help calls the flag's value.
func (*size) Type() string { return "SIZE" }
