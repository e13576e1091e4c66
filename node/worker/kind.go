package worker

import (
	"fmt"
	"time"
)

// A Kind is what workers of one kind do, and within which limits. It is a [Cache], whose
// workers keep values, or a [Serial], whose workers are servers that take messages.
type Kind interface {
	// Validate returns an error that names the first field that makes no sense.
	Validate() error

	sealed()
}

// DefaultTTL is how long a worker lives if its kind does not say.
const DefaultTTL = 5 * time.Second

// DefaultQueue is how many calls may wait for one id if the kind does not say.
const DefaultQueue = 4096

// A field is a number or a duration of a kind.
type field struct {
	name  string
	value any
	wrong bool
	rule  string
}

func duration(name string, d time.Duration, rule string) field { return field{name, d, d < 0, rule} }

func number[N int | int64](name string, n N, rule string) field { return field{name, n, n < 0, rule} }

const (
	zeroTimeout     = "0 means 5s"
	zeroQueue       = "0 means 4096"
	zeroConcurrency = "0 means no limit"
)

// checkFields returns an error that names the first wrong field.
func checkFields(fields ...field) error {
	for _, f := range fields {
		if f.wrong {
			return fmt.Errorf("%s must not be %v: %s", f.name, f.value, f.rule)
		}
	}
	return nil
}

// checkLife returns an error if the two times for which a worker may live make no sense.
func checkLife(ttl, idleTTL time.Duration) error {
	if ttl != 0 && idleTTL != 0 {
		return fmt.Errorf("TTL is %v and IdleTTL is %v: set one of them, "+
			"TTL to count from the start or IdleTTL to count from the last use", ttl, idleTTL)
	}
	return checkFields(
		duration("TTL", ttl, "0 means 5s, Forever that a worker does not expire"),
		duration("IdleTTL", idleTTL, "0 means that use does not prolong a worker's life"),
	)
}
