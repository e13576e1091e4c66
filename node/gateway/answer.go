package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/worker"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	textType    = "text/plain; charset=utf-8"
	binaryType  = "application/octet-stream"

	shortAnswer = 1 << 10   // bytes, of which net/http finds the length itself
	smallAnswer = 64 << 10  // bytes; larger answers count against maxAnswers
	maxAnswers  = 256 << 20 // bytes of larger answers that clients have yet to read
)

// secure sets the headers of every answer. A value may come from anywhere and may claim
// to be HTML or a script. Browsers therefore show it in an origin of its own without
// scripts, and pages of other origins cannot load it.
func (x *exchange) secure() { maps.Copy(x.Header(), secureHeaders) }

var secureHeaders = http.Header{
	"Content-Security-Policy":      {"sandbox; default-src 'none'; frame-ancestors 'none'"},
	"X-Content-Type-Options":       {"nosniff"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
	"Cache-Control":                {"no-store"},
}

// A content is the body of an answer: a [bytes.Reader] or a [strings.Reader].
type content interface {
	Len() int
	io.WriterTo
}

// hold reserves memory for a large answer until the end of the exchange. It fails if
// clients have yet to read too many bytes of other answers.
func (x *exchange) hold(size int) error {
	if size <= smallAnswer {
		return nil
	}
	if !x.gateway.answers.TryAcquire(int64(size)) {
		p := overloadedProblem("clients read too slowly; ask for large answers one after the other, or later")
		p.Outcome = worker.OutcomeRan.String()
		return p
	}
	x.held = int64(size)
	return nil
}

// send writes a whole answer.
func (x *exchange) send(status int, contentType string, body content) {
	head := x.r.Method == http.MethodHead
	x.set("Content-Type", contentType)
	if head || body.Len() > shortAnswer {
		x.set("Content-Length", strconv.Itoa(body.Len()))
	}
	x.WriteHeader(status)
	if !head {
		_, _ = body.WriteTo(x) // fails if the caller is gone
	}
}

// set sets a header. Its name must be in the canonical form. A usual answer has no more
// than eight headers, because a map of more is built in an expensive way.
func (x *exchange) set(name, value string) {
	if x.headers == nil {
		x.headers = make([]string, 0, 6)
	}
	n := len(x.headers)
	x.headers = append(x.headers, value)
	x.Header()[name] = x.headers[n : n+1 : n+1]
}

func (x *exchange) json(v any) error {
	body, err := x.marshal(v)
	if err != nil {
		return err
	}
	x.send(http.StatusOK, jsonType, bytes.NewReader(body))
	return nil
}

// marshal returns v as JSON and holds memory for it. Only a few calls run at a time,
// because a value can grow to six times its size.
func (x *exchange) marshal(v any) ([]byte, error) {
	if err := x.gateway.marshals.Acquire(x.r.Context(), 1); err != nil {
		return nil, err
	}
	defer x.gateway.marshals.Release(1)
	body, err := marshal(v)
	if err != nil {
		return nil, err
	}
	return body, x.hold(len(body))
}

func (x *exchange) problem(p *problem) {
	body, err := marshal(p)
	if err != nil { // never: v has only strings and numbers
		body = nil
	}
	clear(x.Header()) // of the answer that failed
	x.secure()
	maps.Copy(x.Header(), p.header)
	x.send(p.Status, problemType, bytes.NewReader(body))
}

// marshal does not escape <, > and &, because no browser takes these answers for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// A jsonValue is a value in JSON: an integer is a number, JSON is itself, and bytes are a
// string.
type jsonValue struct {
	Value     any    `json:"value"`
	Encoding  string `json:"encoding,omitempty"`
	MediaType string `json:"media_type,omitempty"`
}

func valueOf(v worker.Value) jsonValue {
	if n, ok := v.Int(); ok {
		return jsonValue{Value: n}
	}
	data, media := v.String(), clip(v.MediaType())
	if isJSON(media) && utf8.ValidString(data) && json.Valid([]byte(data)) {
		return jsonValue{Value: json.RawMessage(data), MediaType: media}
	}
	text, encoding := report.TextOf(data)
	return jsonValue{text, encoding, media}
}

// isJSON reports whether a media type is JSON (RFC 6839, section 3.1).
func isJSON(mediaType string) bool {
	t, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (t == jsonType || t == "text/json" || strings.HasSuffix(t, "+json"))
}

// contentType returns the Content-Type of a bare value. A media type that HTTP cannot
// carry counts as unknown.
func contentType(v worker.Value) string {
	if media := v.MediaType(); media != "" {
		if t, parameters, err := mime.ParseMediaType(media); err == nil && strings.Contains(t, "/") {
			if t = mime.FormatMediaType(t, parameters); t != "" {
				return t
			}
		}
	}
	if utf8.ValidString(v.String()) {
		return textType
	}
	return binaryType
}

// bare answers with the value of a reply and nothing else.
func (x *exchange) bare(reply worker.Reply) error {
	x.set("X-Distproc-Node", reply.Node)
	x.set("X-Distproc-Cached", strconv.FormatBool(reply.Cached))
	if reply.Stale {
		x.set("X-Distproc-Stale", "true")
	}
	if reply.Degraded {
		x.set("X-Distproc-Degraded", "true")
	}
	if token := tokenOf(reply); token != "" {
		x.set("X-Distproc-Token", token)
	}
	value := reply.Value.String()
	if err := x.hold(len(value)); err != nil {
		return err
	}
	x.send(http.StatusOK, contentType(reply.Value), strings.NewReader(value))
	return nil
}

// tokenOf returns the token of a reply as text, or "" if its kind is not strict.
func tokenOf(reply worker.Reply) string {
	if reply.Token.IsZero() {
		return ""
	}
	return reply.Token.String()
}

// freshness returns the Age and the max-age of a reply, in seconds. A cache treats the
// reply as fresh while max-age exceeds Age plus the time since (RFC 9111, section 4.2):
// for the whole seconds that the worker has left to live, or never if the reply is stale.
func freshness(reply worker.Reply) (age, maxAge int64) {
	age = int64(max(0, reply.Age) / time.Second)
	if reply.Stale {
		return age, 0
	}
	return age, age + int64(max(0, reply.TTL)/time.Second)
}
