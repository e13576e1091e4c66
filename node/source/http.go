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

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/wire"
)

const (
	maxRedirects = 10
	maxHeader    = 64 << 10 // bytes of the header of an answer
	maxDrain     = 64 << 10 // bytes of an unwanted body that are read to keep its connection

	// refusalDelay is how long the body of an answer that is no value may take: the status is enough.
	refusalDelay = 500 * time.Millisecond
)

// A getter is the source "http://…" or "https://…". It has a pool of connections of its own, so that a slow server
// does not take those of other kinds.
type getter struct {
	address *address
	host    string // for errors
	header  http.Header
	client  *http.Client
}

func newGetter(spec string, env Env) (*getter, error) {
	a, err := parseAddress(spec)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(a.origin)
	if err != nil {
		return nil, plain(err)
	}
	return &getter{
		address: a,
		host:    u.Host,
		header: http.Header{
			"User-Agent":      {"distproc"},
			"X-Distproc-Kind": {env.Kind},
			"X-Distproc-Node": {env.Node},
		},
		client: &http.Client{Transport: newTransport(), CheckRedirect: checkRedirect},
	}, nil
}

// newTransport sets no limit to how long a server may think: the context of a run does, as its kind wants.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true, // which a DialContext turns off otherwise
		TLSHandshakeTimeout:    10 * time.Second,
		MaxConnsPerHost:        256,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second, // also what ends them when the source is not used any more
		MaxResponseHeaderBytes: maxHeader,
		// Without pings a dead HTTP/2 connection is used until TCP gives up.
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
	return nil
}

// get is a [node.Source].
func (g *getter) get(ctx context.Context, id node.ID) (node.Value, error) {
	v, err := g.ask(ctx, id.String())
	if err != nil {
		return node.Value{}, fmt.Errorf("get from %s: %w", g.host, plain(err))
	}
	return v, nil
}

func (g *getter) ask(ctx context.Context, id string) (node.Value, error) {
	addr, err := g.address.with(id)
	if err != nil {
		return node.Value{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return node.Value{}, err
	}
	req.Header = g.header.Clone()
	resp, err := g.client.Do(req)
	if err != nil {
		return node.Value{}, err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNoContent || code == http.StatusResetContent:
		return node.Value{}, nil
	case code >= 200 && code < 300:
		return read(resp)
	}
	defer time.AfterFunc(refusalDelay, cancel).Stop()
	return node.Value{}, refusal(resp)
}

// read makes a value of a body.
func read(resp *http.Response) (node.Value, error) {
	errTooLong := fmt.Errorf("the body has more than the %d bytes that a value may have", wire.MaxValue)
	if resp.ContentLength > wire.MaxValue {
		return node.Value{}, errTooLong
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxValue+1))
	if err != nil {
		return node.Value{}, fmt.Errorf("read the body: %w", err)
	}
	if len(body) > wire.MaxValue {
		return node.Value{}, errTooLong
	}
	return node.MediaValue(resp.Header.Get("Content-Type"), string(body)), nil
}

// refusal is the error of an answer that is no value.
func refusal(resp *http.Response) error {
	text := fmt.Sprintf("status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxHead)) // as much as there is
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
	if line := firstLine(body); line != "" && isText(resp.Header.Get("Content-Type")) {
		text += ": " + line
	}
	return errors.New(text)
}

// isText reports whether the first line of such a body tells a person something. That of HTML does not.
func isText(mediaType string) bool {
	mediaType, _, _ = mime.ParseMediaType(mediaType)
	return mediaType == "text/plain" || strings.HasSuffix(mediaType, "/json") || strings.HasSuffix(mediaType, "+json")
}
