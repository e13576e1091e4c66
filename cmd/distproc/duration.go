package main

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A duration is a flag, written as in a file of kinds: 30s, 1h30m or forever.
type duration time.Duration

// Set reads the duration from a flag.
func (d *duration) Set(text string) error {
	n, err := durationOf(text)
	if err == nil {
		*d = duration(n)
	}
	return err
}

func (d *duration) String() string {
	if time.Duration(*d) == worker.Forever {
		return "forever"
	}
	return time.Duration(*d).String()
}

// Type is what the help calls the flag's value.
func (*duration) Type() string { return "DURATION" }
