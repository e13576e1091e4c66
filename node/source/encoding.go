package source

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/distproc/distproc/wire"
)

const (
	maxEncoded = 2 * wire.MaxValue // bytes of a body before each decoding
	maxCodings = 4                 // maximum number of codings of a body
)

var errTooLong = fmt.Errorf("the body has more than the %d bytes that a value may have", wire.MaxValue)

// decoded returns the body of an answer without its content codings (RFC 9110, 8.4). The
// transport does not remove them: it decodes gzip only, and only if that is the only
// coding.
func decoded(resp *http.Response) (io.Reader, error) {
	codings := codingsOf(resp.Header)
	if len(codings) > maxCodings {
		return nil, fmt.Errorf("the body has %d content codings, limit %d: the server should send identity or gzip", len(codings), maxCodings)
	}
	body := io.Reader(resp.Body)
	for _, coding := range slices.Backward(codings) { // the last one was applied last
		bounded := bufio.NewReader(&bound{body, maxEncoded})
		var err error
		if body, err = decode(coding, bounded); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// codingsOf returns the content codings of an answer, in the order in which they were
// applied.
func codingsOf(header http.Header) (codings []string) {
	for coding := range strings.SplitSeq(strings.Join(header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
			codings = append(codings, coding)
		}
	}
	return codings
}

func decode(coding string, r *bufio.Reader) (io.Reader, error) {
	start, err := r.Peek(2)
	if len(start) == 0 && errors.Is(err, io.EOF) {
		return r, nil // nothing was encoded
	}
	var body io.Reader
	switch coding {
	case "gzip", "x-gzip":
		body, err = gzip.NewReader(r)
	case "deflate":
		// Deflate means zlib, but some servers omit the header of zlib.
		if len(start) == 2 && start[0]&0xf == 8 && (int(start[0])<<8|int(start[1]))%31 == 0 {
			body, err = zlib.NewReader(r)
		} else {
			body, err = flate.NewReader(r), nil
		}
	default:
		return nil, fmt.Errorf("the body has Content-Encoding %.50q, which was not asked for: the server should send identity or gzip", coding)
	}
	if err != nil {
		return nil, fmt.Errorf("decode the body from %s: %w", coding, err)
	}
	return body, nil
}

// A bound fails with errTooLong when more than n bytes are read.
type bound struct {
	r io.Reader
	n int
}

func (b *bound) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n -= n; b.n < 0 {
		return 0, errTooLong
	}
	return n, err
}
