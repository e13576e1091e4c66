package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/distproc/distproc/wire"
)

const (
	bodyGrace    = 5 * time.Second  // for a body to arrive, and more for each byte of it that has:
	bodyRate     = 16 << 10         // bytes for another second,
	bodyTimeout  = 20 * time.Second // up to this
	smallBody    = 16 << 10         // bytes that need no place
	maxBodies    = 64 << 20         // bytes of larger bodies, from their arrival to the end of their calls
	placeTimeout = 2 * time.Second  // to wait for a place
)

// body reads the body of the request. A large one takes a place among those of all requests
// when its beginning is there. The exchange gives it back at its end.
func (x *exchange) body() (string, error) {
	if x.r.Body == http.NoBody {
		return "", nil
	}
	pace := &pace{x: x, began: time.Now()}
	r := http.MaxBytesReader(x.ResponseWriter, io.NopCloser(pace), wire.MaxValue)
	head, err := io.ReadAll(io.LimitReader(r, smallBody))
	if err != nil || len(head) < smallBody {
		return string(head), x.readAll(err)
	}
	size := x.r.ContentLength
	if size < 0 {
		size = wire.MaxValue
	}
	waited := time.Now()
	if err := x.takePlace(size); err != nil {
		return "", err
	}
	pace.began = pace.began.Add(time.Since(waited))
	var b strings.Builder
	b.Grow(int(size))
	b.Write(head)
	_, err = io.CopyBuffer(&b, r, head)
	return b.String(), x.readAll(err)
}

// takePlace takes a place for a large body.
func (x *exchange) takePlace(size int64) error {
	defer x.conn.waits(x.conn.waits(forPlace))
	ctx, cancel := context.WithTimeout(x.r.Context(), placeTimeout)
	defer cancel()
	if x.gateway.bodies.Acquire(ctx, size) != nil {
		return overloadedProblem("large messages fill the gateway; try again later")
	}
	x.place = size
	return nil
}

// readAll notes that the body is there, or returns why it is not.
func (x *exchange) readAll(err error) error {
	x.unread = err != nil
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case err == nil:
		return nil
	case large:
		return tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, "slow body",
			"the body came too slowly; send it within %v, or %d KiB a second and all within %v", bodyGrace, bodyRate>>10, bodyTimeout)
	}
	return badRequest("body: %v", err)
}

// A pace is a body that must arrive at bodyRate.
type pace struct {
	x     *exchange
	began time.Time
	read  int64
}

// Read reads from the body until the deadline that what has arrived has earned.
func (p *pace) Read(b []byte) (int, error) {
	earned := min(bodyGrace+time.Duration(p.read)*time.Second/bodyRate, bodyTimeout)
	_ = http.NewResponseController(p.x.ResponseWriter).SetReadDeadline(p.began.Add(earned)) // fails without a connection
	defer p.x.conn.waits(p.x.conn.waits(forBody))
	n, err := p.x.r.Body.Read(b)
	p.read += int64(n)
	return n, err
}
