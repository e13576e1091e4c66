package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/distproc/distproc/wire/text"
)

const (
	bodyGrace   = 5 * time.Second  // for a body to arrive, plus
	bodyRate    = 16 << 10         // bytes for each further second,
	bodyTimeout = 20 * time.Second // up to this
	smallBody   = 16 << 10         // bytes; larger bodies take a place
	maxForm     = 16 << 10         // bytes, for a token of 4 KiB that is percent-encoded
)

// form reads the body of the request as a form.
func (x *exchange) form() (url.Values, error) {
	const want = "application/x-www-form-urlencoded"
	if t, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || t != want {
		return nil, badRequest("content type %s: send a form, as %s", text.Quote(x.r.Header.Get("Content-Type")), want)
	}
	body, err := x.body(maxForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, badRequest("form: %v", err)
	}
	return form, nil
}

// body reads the body of the request, of at most limit bytes. A large body takes a place
// once its first bytes have arrived, until the end of the exchange.
func (x *exchange) body(limit int64) (string, error) {
	if x.r.Body == http.NoBody {
		return "", nil
	}
	if x.r.ContentLength > limit {
		return "", tooLarge(limit)
	}
	size := x.r.ContentLength
	if size < 0 {
		size = limit
	}
	x.place = &place{from: x.conn.address(), size: size, end: func() { x.setReadDeadline(time.Unix(1, 0)) }}
	pace := &pace{x: x, began: time.Now()}
	r := http.MaxBytesReader(x.ResponseWriter, io.NopCloser(pace), size)
	head, err := io.ReadAll(io.LimitReader(r, smallBody))
	if err != nil || len(head) < smallBody {
		return string(head), x.readAll(err, limit)
	}
	body, err := pace.large(r, head)
	if err != nil {
		x.gateway.bodies.release(x.place) // now, because the client may read the answer slowly
	}
	return body, x.readAll(err, limit)
}

// large reads the rest of a large body, which begins with head. The buffer is no larger
// than the place.
func (p *pace) large(r io.Reader, head []byte) (string, error) {
	place, b := p.x.place, new(strings.Builder)
	b.Write(head)
	for room := int64(smallBody); room < place.size; {
		var err error
		if room, err = p.grow(min(2*room, place.size)); err != nil {
			return "", err
		}
		larger := new(strings.Builder)
		larger.Grow(int(room))
		larger.WriteString(b.String())
		b = larger
		if _, err := io.CopyBuffer(b, io.LimitReader(r, room-int64(b.Len())), head); err != nil {
			return "", err
		}
		if int64(b.Len()) < room {
			return b.String(), p.x.gateway.bodies.keep(place)
		}
	}
	if _, err := io.ReadFull(r, head[:1]); err != io.EOF { // r fails if there is more
		return "", err
	}
	return b.String(), p.x.gateway.bodies.keep(place)
}

// grow takes room for at least so many bytes of the body. The wait for room does not
// count against the client.
func (p *pace) grow(bytes int64) (room int64, err error) {
	defer p.x.conn.waits(p.x.conn.waits(forPlace))
	began := time.Now()
	room, err = p.x.gateway.bodies.grow(p.x.r.Context(), p.x.place, bytes)
	p.began = p.began.Add(time.Since(began))
	if err != nil && !errors.Is(err, errEvicted) {
		err = overloadedProblem("large messages fill the gateway; try again later")
	}
	return room, err
}

// setReadDeadline sets the deadline for reads of the body. It does nothing for a request
// without a connection.
func (x *exchange) setReadDeadline(t time.Time) {
	_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(t)
}

// readAll records that the body has arrived, or returns the problem that err is.
func (x *exchange) readAll(err error, limit int64) error {
	x.unread = err != nil
	_, large := errors.AsType[*http.MaxBytesError](err)
	_, told := errors.AsType[*problem](err)
	switch {
	case err == nil, told:
		return err
	case large:
		return tooLarge(limit)
	case x.gateway.bodies.check(x.place) != nil:
		return newProblem(http.StatusRequestTimeout, "slow body",
			"the body came too slowly while others waited for its place; send it within %v, or try again later", bodyGrace)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, "slow body",
			"the body came too slowly; send it within %v, or %d KiB a second and all within %v", bodyGrace, bodyRate>>10, bodyTimeout)
	}
	return badRequest("body: %v", err)
}

// A pace reads a body that must arrive at bodyRate.
type pace struct {
	x     *exchange
	began time.Time
	read  int64
}

// Read reads from the body. The bytes that have arrived extend its deadline. It fails if
// the body loses its place.
func (p *pace) Read(b []byte) (n int, err error) {
	earned := min(bodyGrace+time.Duration(p.read)*time.Second/bodyRate, bodyTimeout)
	p.x.setReadDeadline(p.began.Add(earned))
	if err := p.x.gateway.bodies.await(p.x.place); err != nil {
		return 0, err
	}
	defer func() { p.x.gateway.bodies.came(p.x.place, n) }()
	defer p.x.conn.waits(p.x.conn.waits(forBody))
	n, err = p.x.r.Body.Read(b)
	p.read += int64(n)
	return n, err
}
