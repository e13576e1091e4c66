//go:build !linux

package source

import "context"

// Reap does nothing on this system: only Linux gives orphans to the first process of a
// container.
func Reap() (stop func()) { return func() {} }

func markEnviron() []string { return nil }

// endLeftovers does nothing, because this system does not show which processes are
// leftovers.
func endLeftovers(context.Context, string) error { return nil }
