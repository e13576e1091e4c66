package members

import (
	"cmp"
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestSoon looks again and again, for as long as there is hope.
func TestSoon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what     string
		finds    int           // this look finds it; 0: none does
		ends     time.Duration // of the context; 0: it does not
		want     bool
		wantTook time.Duration
	}{
		{what: "at once", finds: 1, want: true},
		{what: "at the third look", finds: 3, want: true, wantTook: 750 * time.Millisecond},
		{what: "at the last", finds: 4, want: true, wantTook: 1750 * time.Millisecond},
		{what: "never", wantTook: 1750 * time.Millisecond},
		{what: "too late", finds: 3, ends: 500 * time.Millisecond, wantTook: 500 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(c.ends, time.Hour))
				defer cancel()
				looks, start := 0, time.Now()
				got := soon(ctx, func() bool { looks++; return looks == c.finds })
				if took := time.Since(start); got != c.want || took != c.wantTook {
					t.Errorf("%v after %v, want %v after %v", got, took, c.want, c.wantTook)
				}
			})
		})
	}
}
