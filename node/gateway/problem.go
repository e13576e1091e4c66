package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// A problem is an error in the form of RFC 9457. Its type is "/problems/" and the title
// in lower case with hyphens. The type is a name, not the address of a page.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Outcome string `json:"outcome"`        // "not run", "ran" or "unknown"
	Code    string `json:"code,omitempty"` // of the cluster's error, as in type
	Node    string `json:"node,omitempty"` // where it happened

	header http.Header
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// statusOf maps errors of the cluster to statuses. A code that is missing here comes from
// a broken or newer node and becomes 502.
var statusOf = map[wire.Code]int{
	wire.NotOwner:         http.StatusServiceUnavailable, // until the nodes agree on a view
	wire.Overloaded:       http.StatusServiceUnavailable,
	wire.DeadlineExceeded: http.StatusGatewayTimeout,
	wire.Canceled:         http.StatusServiceUnavailable, // by a stop of the worker or the node
	wire.SourceFailed:     http.StatusBadGateway,
	wire.Panicked:         http.StatusBadGateway,
	wire.BadRequest:       http.StatusBadRequest,
	wire.Unreachable:      http.StatusServiceUnavailable,
	wire.Closed:           http.StatusServiceUnavailable,
	wire.Leaving:          http.StatusServiceUnavailable,
	wire.Internal:         http.StatusInternalServerError,
	wire.UnknownKind:      http.StatusNotFound,
	wire.Apart:            http.StatusServiceUnavailable,
	wire.NoQuorum:         http.StatusServiceUnavailable,
	wire.Fenced:           http.StatusInternalServerError,
}

// problemOf returns an error as a problem.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	e, ok := errors.AsType[*wire.Error](err)
	switch {
	case ok:
	case errors.Is(err, worker.ErrBadID):
		return badID("%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		e = &wire.Error{Code: wire.DeadlineExceeded}
	case errors.Is(err, context.Canceled):
		e = &wire.Error{Code: wire.Canceled}
	default:
		e = wire.Errorf(wire.Internal, wire.Unknown, "%v", err)
		if code, ok := errors.AsType[wire.Code](err); ok {
			e.Code = code
		}
	}
	return clusterProblem(e)
}

func clusterProblem(e *wire.Error) *problem {
	status, title := statusOf[e.Code], e.Code.Error()
	if status == 0 {
		status = http.StatusBadGateway
	}
	if !e.Code.Known() { // from a newer node
		title = "unknown error"
	}
	p := newProblem(status, title, "%s", (&wire.Error{Code: e.Code, Text: e.Text}).Error())
	p.Outcome, p.Code, p.Node = e.Outcome.String(), strings.TrimPrefix(p.Type, typePrefix), e.Node
	if status == http.StatusServiceUnavailable {
		p.header.Set("Retry-After", "1")
	}
	return p
}

const typePrefix = "/problems/"

// newProblem returns the problem of a request that has not run.
func newProblem(status int, title, format string, args ...any) *problem {
	return &problem{
		Type:   typePrefix + strings.ReplaceAll(strings.ToLower(title), " ", "-"),
		Title:  strings.ToUpper(title[:1]) + title[1:],
		Status: status, Detail: clip(fmt.Sprintf(format, args...)), Outcome: worker.OutcomeNotRun.String(),
		header: make(http.Header),
	}
}

func badRequest(format string, args ...any) *problem {
	return newProblem(http.StatusBadRequest, wire.BadRequest.Error(), format, args...)
}

func badID(format string, args ...any) *problem {
	return newProblem(http.StatusBadRequest, "bad id", format, args...)
}

// pathProblem is the problem of a path without an endpoint.
func pathProblem() *problem {
	return newProblem(http.StatusNotFound, "not found",
		"no endpoint has this path; /v1/openapi.json lists all endpoints")
}

// slashProblem is the problem of a path that goes on after an id.
func slashProblem() *problem {
	return newProblem(http.StatusNotFound, "not found",
		"an id is one segment of the path: write its / as %%2F")
}

func methodProblem(method string, allowed []string) *problem {
	p := newProblem(http.StatusMethodNotAllowed, "method not allowed",
		"method %s is not allowed here; use %s", text.Quote(method), strings.Join(allowed, " or "))
	p.header.Set("Allow", strings.Join(allowed, ", "))
	return p
}

// overloadedProblem is the problem of a request for which the gateway has no room.
func overloadedProblem(format string, args ...any) *problem {
	return clusterProblem(wire.Errorf(wire.Overloaded, wire.NotRun, format, args...))
}

func tooLarge(limit int64) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "too large", "a message is at most %d bytes", limit)
}

func panicProblem() *problem {
	p := newProblem(http.StatusInternalServerError, wire.Internal.Error(), "the gateway failed; its log says more")
	p.Outcome = worker.OutcomeUnknown.String()
	return p
}

// closingProblem is the problem of a request that was running when the gateway closed.
// Its outcome and node are those of the request's own problem.
func closingProblem(of *problem) *problem {
	p := newProblem(http.StatusServiceUnavailable, wire.Closed.Error(), "%v", errClosing)
	p.Outcome, p.Code, p.Node = of.Outcome, "closed", of.Node
	p.header.Set("Retry-After", "1")
	return p
}

// clip makes a text that may come from anywhere fit for an answer and the log.
func clip(s string) string { return report.Clip(s) }
