package gateway

import (
	"bytes"
	"context"
	"net/http"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/distproc/distproc/wire/text"
)

const (
	defaultProfile = 10 // seconds of a cpu profile
	maxProfile     = 60
)

// profiles are those of package pprof that are of use here.
var profiles = []string{"allocs", "block", "cpu", "goroutine", "heap", "mutex"}

// profile answers with a profile of the process for go tool pprof.
func (g *Gateway) profile(ctx context.Context, x *exchange) error {
	if !g.config.Profile || g.config.Token == "" {
		return newProblem(http.StatusNotFound, "not found", "this node gives no profiles; it does with --http-profile and --http-token-file")
	}
	of := "cpu"
	if x.query.Has("type") {
		of = x.query.Get("type")
	}
	if !slices.Contains(profiles, of) {
		return badRequest("type %s: say one of %v", text.Quote(of), profiles)
	}
	seconds, err := x.seconds()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if of == "cpu" {
		err = takeCPU(ctx, &b, time.Duration(seconds)*time.Second)
	} else {
		err = pprof.Lookup(of).WriteTo(&b, 0)
	}
	if err != nil {
		return err
	}
	if err := x.hold(b.Len()); err != nil {
		return err
	}
	x.set("Content-Disposition", `attachment; filename="`+of+`.pb.gz"`)
	x.send(http.StatusOK, binaryType, bytes.NewReader(b.Bytes()))
	return nil
}

// takeCPU takes a profile of the processor's time, of which there can be one at a time.
func takeCPU(ctx context.Context, b *bytes.Buffer, d time.Duration) error {
	if err := pprof.StartCPUProfile(b); err != nil {
		return overloadedProblem("another cpu profile is being taken; ask when it has ended")
	}
	defer pprof.StopCPUProfile()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// seconds returns the parameter seconds.
func (x *exchange) seconds() (int, error) {
	if !x.query.Has("seconds") {
		return defaultProfile, nil
	}
	s := x.query.Get("seconds")
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxProfile {
		return 0, badRequest("seconds %s: say a number from 1 to %d", text.Quote(s), maxProfile)
	}
	return int(n), nil
}
