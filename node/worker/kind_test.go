package worker

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"
)

func openNone(context.Context, ID) (Server, error) { return nil, nil }

// TestValidate gives fields values that make no sense. The error names the field.
func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string
		kind Kind
	}{
		{"Load must not be nil: set the source of its values", Cache{TTL: time.Minute}},
		{"TTL must not be -1ns: 0 means 5s", Cache{Load: RandomSource, TTL: -1}},
		{"IdleTTL must not be -1ns: ", Cache{Load: RandomSource, IdleTTL: -1}},
		{"TTL is 1s and IdleTTL is 1m0s: ", Cache{Load: RandomSource, TTL: time.Second, IdleTTL: time.Minute}},
		{"Jitter must not be 7: a share of the TTL, from 0 to 1", Cache{Load: RandomSource, Jitter: 7}},
		{"Jitter must not be -0.1: ", Cache{Load: RandomSource, Jitter: -0.1}},
		{"Jitter must not be NaN: ", Cache{Load: RandomSource, Jitter: math.NaN()}},
		{"StaleWhileRevalidate must not be -1ns: ", Cache{Load: RandomSource, StaleWhileRevalidate: -1}},
		{"ErrorTTL must not be ", Cache{Load: RandomSource, ErrorTTL: math.MinInt64}},
		{"Timeout must not be -1s: 0 means 5s", Cache{Load: RandomSource, Timeout: -time.Second}},
		{"Queue must not be -5: 0 means 4096", Cache{Load: RandomSource, Queue: -5}},
		{"Concurrency must not be -1: 0 means no limit", Cache{Load: RandomSource, Concurrency: -1}},
		{"MaxBytes must not be -1: ", Cache{Load: RandomSource, MaxBytes: -1}},
		{"Open must not be nil: set what makes its servers", Serial{TTL: time.Minute}},
		{"TTL must not be -1ns: ", Serial{Open: openNone, TTL: -1}},
		{"IdleTTL must not be -1ns: ", Serial{Open: openNone, IdleTTL: -1}},
		{"TTL is 1s and IdleTTL is 1m0s: ", Serial{Open: openNone, TTL: time.Second, IdleTTL: time.Minute}},
		{"Timeout must not be -1s: ", Serial{Open: openNone, Timeout: -time.Second}},
		{"Queue must not be -5: ", Serial{Open: openNone, Queue: -5}},
		{"Concurrency must not be -1: ", Serial{Open: openNone, Concurrency: -1}},
		{"Timeout must not be forever: a call of a strict kind keeps its id", Serial{Open: openNone, Strict: true, Timeout: Forever}},
	} {
		if err := c.kind.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%T: error %v, want %s", c.kind, err, c.want)
		}
	}
	for _, kind := range []Kind{
		Cache{Load: RandomSource}, Serial{Open: openNone},
		Cache{Load: RandomSource, IdleTTL: Forever, Jitter: 1, MaxBytes: math.MaxInt64},
		Serial{Open: openNone, IdleTTL: Forever, Queue: 1, Concurrency: 1, Timeout: Forever},
		Serial{Open: openNone, Strict: true, Timeout: Forever - 1},
	} {
		if err := kind.Validate(); err != nil {
			t.Errorf("%+v: %v", kind, err)
		}
	}
}
