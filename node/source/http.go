package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	maxRedirects = 10
	maxHeader    = 64 << 10 // bytes of the header of an answer
	maxDrain     = 64 << 10 // bytes of an unwanted body that are read to keep its connection

	// refusalDelay limits the time to read the body of an answer with an error status.
	refusalDelay = 500 * time.Millisecond
)

// An endpoint is the source "http://…" or "https://…". It has its own pool of
// connections, so that a slow server does not use up those of other kinds.
type endpoint struct {
	address *address
	host    string // for errors
	header  http.Header
	client  *http.Client
}

func newEndpoint(spec string, env Env) (*endpoint, error) {
	a, err := parseAddress(spec)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.origin)
	if err != nil {
		return nil, plain(err)
	}
	return &endpoint{
		address: a,
		host:    u.Host,
		header: http.Header{
			"User-Agent":      {"distproc"},
			"X-Distproc-Kind": {env.Kind},
			"X-Distproc-Node": {env.Node},
			// As the transport would send it. If it is set, the transport does not decode
			// the body; see decoded.
			"Accept-Encoding": {"gzip"},
		},
		client: &http.Client{Transport: outcomeTransport{newTransport()}, CheckRedirect: checkRedirect},
	}, nil
}

// newTransport sets no limit for the time until an answer. The context of a run does.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true, // DialContext would turn it off
		TLSHandshakeTimeout:    10 * time.Second,
		MaxConnsPerHost:        256,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second, // also closes them when the source is no longer used
		MaxResponseHeaderBytes: maxHeader,
		// Without pings, a dead HTTP/2 connection is used until TCP gives up.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if !sameOrigin(req.URL, via[0].URL) {
		return fmt.Errorf("redirect to another host refused: %s://%s", req.URL.Scheme, req.URL.Host)
	}
	// A 303 means that the message was accepted, and says where to GET the answer. 307
	// and 308 keep the method. After any other status, a GET would lose the message.
	if code := req.Response.StatusCode; req.Method != via[len(via)-1].Method && code != http.StatusSeeOther {
		return fmt.Errorf("status %d %s would lose the message: the server should say 307 or 308, or 303 if it has taken it",
			code, http.StatusText(code))
	}
	return nil
}

// run implements [runner].
func (e *endpoint) run(ctx context.Context, id worker.ID, message *worker.Value) (worker.Value, error) {
	v, err := e.ask(ctx, id.String(), message)
	switch {
	case err == nil:
		return v, nil
	case message == nil:
		return worker.Value{}, fmt.Errorf("get from %s: %w", e.host, plain(err))
	}
	return worker.Value{}, fmt.Errorf("post to %s: %w", e.host, plain(err))
}

func (e *endpoint) ask(ctx context.Context, id string, message *worker.Value) (worker.Value, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := e.request(ctx, id, message)
	if err != nil {
		return worker.Value{}, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return worker.Value{}, err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNoContent || code == http.StatusResetContent:
		return worker.Value{}, nil
	case code >= 200 && code < 300:
		return read(resp)
	}
	defer time.AfterFunc(refusalDelay, cancel).Stop()
	return worker.Value{}, refusal(resp)
}

// request returns a GET, or a POST of the message if there is one.
func (e *endpoint) request(ctx context.Context, id string, message *worker.Value) (*http.Request, error) {
	addr, err := e.address.with(id)
	if err != nil {
		return nil, worker.NotRun(err)
	}
	header := e.header.Clone()
	if parent, state, baggage := worker.TraceContextOf(ctx); parent != "" {
		for name, value := range map[string]string{"Traceparent": parent, "Tracestate": state, "Baggage": baggage} {
			if value != "" {
				header.Set(name, value)
			}
		}
	}
	if token := worker.TokenOf(ctx); token != (worker.Token{}) {
		header.Set("X-Distproc-Token", token.String())
	}
	method, body := http.MethodGet, io.Reader(nil)
	if message != nil {
		method, body = http.MethodPost, strings.NewReader(message.String())
		header.Set("Content-Type", contentType(*message))
	}
	req, err := http.NewRequestWithContext(ctx, method, addr, body)
	if err != nil {
		return nil, worker.NotRun(err)
	}
	req.Header = header
	return req, nil
}

// contentType returns the media type of a message, or one that fits its bytes.
func contentType(message worker.Value) string {
	switch {
	case message.MediaType() != "":
		return message.MediaType()
	case utf8.ValidString(message.String()):
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// read returns the body of an answer as a value.
func read(resp *http.Response) (worker.Value, error) {
	body, err := decoded(resp)
	if err != nil {
		return worker.Value{}, err
	}
	data, err := io.ReadAll(io.LimitReader(body, wire.MaxValue+1))
	if err != nil && !errors.Is(err, errTooLong) {
		return worker.Value{}, fmt.Errorf("read the body: %w", err)
	}
	if err != nil || len(data) > wire.MaxValue {
		return worker.Value{}, errTooLong
	}
	return worker.MediaValue(resp.Header.Get("Content-Type"), string(data)), nil
}

// refusal returns the error of an answer with an error status.
func refusal(resp *http.Response) error {
	text := fmt.Sprintf("status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if body, err := decoded(resp); err == nil && isText(resp.Header.Get("Content-Type")) {
		data, _ := io.ReadAll(io.LimitReader(body, maxHead)) // an error leaves a shorter text
		if line := firstLine(data); line != "" {
			text += ": " + line
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // keeps the connection usable
	return errors.New(text)
}

// isText reports whether the first line of a body is useful in an error. That of HTML is
// not.
func isText(mediaType string) bool {
	mediaType, _, _ = mime.ParseMediaType(mediaType)
	return mediaType == "text/plain" || strings.HasSuffix(mediaType, "/json") || strings.HasSuffix(mediaType, "+json")
}
