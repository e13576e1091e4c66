package source

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/distproc/distproc/node/worker"
)

// An outcomeTransport marks the errors of requests by their progress; see [worker.NotRun]
// and [worker.MayHaveRun].
type outcomeTransport struct{ http.RoundTripper }

func (t outcomeTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected, sent atomic.Bool // sent: a server may have received it
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		// A POST is retried on another connection only if nothing was sent on the first
		// one. A GET may have been sent.
		GotConn: func(httptrace.GotConnInfo) {
			connected.Store(true)
			if req.Method == http.MethodPost {
				sent.Store(false)
			}
		},
		// WroteHeaders would be called too late, after the header was sent.
		WroteHeaderField: func(string, []string) { sent.Store(true) },
	})
	resp, err := t.RoundTripper.RoundTrip(req.WithContext(ctx))
	switch {
	case err == nil || isTaken(req):
		return resp, err
	case sent.Load() || connected.Load() && ctx.Err() != nil: // HTTP/2 may send it right after the end of ctx
		return nil, worker.MayHaveRun(err)
	}
	return nil, worker.NotRun(err)
}

// isTaken reports whether req asks for the answer to a message that a server has
// accepted.
func isTaken(req *http.Request) bool {
	first := req
	for first.Response != nil { // the redirect that led to it
		first = first.Response.Request
	}
	return req.Method != first.Method
}
