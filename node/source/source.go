// Package source parses a line of text, such as a value of a configuration file, into the
// source of a kind of workers, or into the servers of a serial kind.
//
// The path of one run: [Parse] parses the line once and reports its mistakes, so that a
// run fails only because of the id or the outside world. A worker of a [node.Node] calls
// the [worker.Source] with its id. For "exec:", the id replaces {id} in the words, which
// words.go has split and code.go has checked. exec.go starts the program, and kills its
// remaining processes at the end (group_unix.go). The output is the value. For "http://"
// and "https://", the escaped id becomes part of an address, and cannot change its meaning
// (address.go). http.go requests the address, and encoding.go decodes the body, which is
// the value. Both accept at most [wire.MaxValue] bytes and report the first line of a
// failure (firstline.go). The servers of [ParseSerial] take the same path, with a message
// besides the id.
//
// # Programs
//
// "exec:PROGRAM ARGS…" is split at spaces, tabs and newlines into words. No shell is
// involved: nothing is expanded, and there are no operators and no comments. Quoting is
// that of a POSIX shell: '…' takes everything as it is; in "…" a backslash escapes only
// \, ", $, ` and the end of a line; elsewhere it escapes any character. A backslash
// before the end of a line joins two lines.
//
// Then {id} is replaced in each word but the first, quoted or not, and stays within its
// word whatever the id contains. An id may begin with a dash: write "--" before {id} if
// the program reads options. No program can be given an id with a NUL byte.
//
//	exec:price-of -- {id}
//	exec:sh -c 'git log --oneline -- "$1" | head -n 1' sh {id}
//
// Parse refuses {id} in a word that a known interpreter takes for code, such as the one
// after sh -c, perl -e or python3 -c, because then anybody who can choose an id could run
// any command. Other programs may treat a word as code as well: ssh passes its words to a
// shell, and psql -c takes SQL.
//
// A program without a slash in its name is looked up in PATH. It has the node's
// environment without DISTPROC_COOKIE, and also DISTPROC_ID, DISTPROC_KIND and
// DISTPROC_NODE. If the request has a traceparent (see [worker.TraceOf]) that is
// TRACEPARENT; the node's own TRACEPARENT and TRACESTATE are not passed on. Its standard
// input is empty. Its output, up to 1 MiB, is the value, without the newline at the end.
// If its exit status is not 0 the run fails with the first line of its standard error.
//
// The program runs in its own process group. The group is killed (SIGKILL) when the
// context of the run ends, when the program prints too much, and when the program has
// ended, because processes in the background would overlap with the next run for the id.
// So a program cannot clean up when its time is over. A process that should stay must
// start a session (setsid) and hold neither the input nor the output. Outside Unix, only
// the program itself is killed.
//
// On Linux, programs end with their node even if it is killed (SIGKILL). The kernel kills
// the program itself at once (Pdeathsig, which a set-user-ID program loses). Its children
// live on until a node of the same name runs a program on the same machine: before the
// first run of each kind it kills the process groups of programs whose node is no more,
// and waits until they have ended. It finds them by DISTPROC_NODE and DISTPROC_RUN, the
// node's process, which programs inherit: a group whose processes have all cleared their
// environment is not found. This needs /proc. On other systems the programs of a killed
// node run to their end, and may overlap with those of the next one.
//
// A process that a program leaves behind becomes a child of the first process of the
// container, or of the system. If that is the node itself, call [Reap], as distproc does.
//
// # Addresses
//
// "http://HOST/PATH…?QUERY" and "https://…" are asked with GET. Their path and query may
// have {id}, which is percent-encoded, so that it stays within its segment or parameter.
// Ids for which no encoding would do that are refused: the empty one in a path, and those
// in which a server might find a segment "." or "..".
//
// A 2xx body, up to 1 MiB, is the value, with its Content-Type; 204 and 205 are an empty
// value. Content codings are removed: gzip, which is the one that requests accept, and
// deflate, at most four in a row. A body with another coding fails the run. Any other
// status fails it with the first line of the body if that is plain text or JSON. Up to 10
// redirects are followed, on the same scheme, host and port only. Requests carry
// User-Agent, X-Distproc-Kind and X-Distproc-Node, and traceparent if the request has
// one. Connections are kept for 30 s for the next requests. HTTP_PROXY, HTTPS_PROXY and
// NO_PROXY are obeyed. Only the context limits how long the server may take.
//
// # Outcomes
//
// A run that fails has one of three outcomes: see [worker.Outcome]. It has not run if the
// program could not be started, or if no server can have got the request: no address was
// found, the connection or its TLS failed, or the context ended before. It is unknown if
// the request was sent and the answer did not come. Everything else ran: a program that
// was started, also if it was killed, and a request that was answered, also with an
// error.
//
// # Calls
//
// In a serial kind, each message is a run of its own. All of the above holds for it, save
// what follows.
//
// The message is the standard input of a program, which need not read it, and what it
// prints is the answer. If the media type of the message is known, it is
// DISTPROC_MEDIA_TYPE.
//
//	exec:./handle {id}
//	http://127.0.0.1:9000/tenants/{id}
//
// To an address the message is sent with POST. Its media type is the Content-Type; if
// that is not known, text/plain; charset=utf-8 is, or application/octet-stream for bytes
// that are not UTF-8. The 2xx body is the answer.
//
// A message is not sent again once a server may have taken it. One that answers with 307
// or 308 has not: the message goes to the new address. One that answers with 303 has, and
// says where the answer is, which is asked for with GET. As above, only the same scheme,
// host and port will do. A 301 or 302 fails the run: clients differ about what these
// mean, and most would go on with a GET and lose the message.
//
// The context of a message ends at the kind's timeout or when the node closes, not when
// the caller gives up: a program is not killed half-way through what it writes. Messages
// for one id come one after another, and what a program does for one is over (see above)
// before the next. Of a server this is true only while the context lasts: when it ends,
// so does the connection, or the stream of HTTP/2, and a server that works on
// nevertheless may get the next message meanwhile.
package source

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/distproc/distproc/node/worker"
)

// An Env names the kind and the node that a source runs for. Programs get it in their
// environment, and servers in headers.
type Env struct {
	Kind string // of the worker
	Node string // NAME@HOST of the node that runs it
}

// placeholder stands for the id in a word of a program or in an address.
const placeholder = "{id}"

// A runner is a program or an endpoint. Any number of runs may be concurrent. There is
// nothing to close.
type runner interface {
	// run returns the value of an id, or the answer to message if it is not nil.
	run(ctx context.Context, id worker.ID, message *worker.Value) (worker.Value, error)
}

// Parse returns the source that spec describes: "random", "exec:PROGRAM ARGS…" or an
// http(s) address. The source may be called concurrently. There is nothing to close.
// Parse also fails if the program does not exist.
func Parse(spec string, env Env) (worker.Source, error) {
	if IsInline(spec) {
		return worker.RandomSource, nil
	}
	r, err := parse(spec, env, "say random, exec:PROGRAM ARGS… or an http(s):// address")
	if err != nil {
		return nil, err
	}
	return sourceOf(r), nil
}

func sourceOf(r runner) worker.Source {
	return func(ctx context.Context, id worker.ID) (worker.Value, error) { return r.run(ctx, id, nil) }
}

// IsInline reports whether the source that spec describes never blocks, as the field
// Inline of a [worker.Cache] requires. Only "random" does.
func IsInline(spec string) bool { return spec == "random" }

// Concurrency returns how many concurrent runs of the source that spec describes are
// reasonable, for the field Concurrency of a [worker.Kind]: 8 for each core if it is a
// program, otherwise 0, which means no limit.
func Concurrency(spec string) int {
	if strings.HasPrefix(spec, "exec:") {
		return 8 * runtime.GOMAXPROCS(0)
	}
	return 0
}

// ParseSerial returns a factory of servers for a serial kind. Each message runs the
// program or asks the address that spec describes: "exec:PROGRAM ARGS…" or an http(s)
// address. It fails like [Parse].
func ParseSerial(spec string, env Env) (worker.Factory, error) {
	r, err := parse(spec, env, "that takes no messages: say exec:PROGRAM ARGS… or an http(s):// address")
	if err != nil {
		return nil, err
	}
	return factoryOf(r), nil
}

func factoryOf(r runner) worker.Factory {
	return func(_ context.Context, id worker.ID) (worker.Server, error) { return caller{r, id}, nil }
}

// A caller is the [worker.Server] of an id. It has no state.
type caller struct {
	runner runner
	id     worker.ID
}

// Call runs the program, or asks the server, with the message.
func (w caller) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	return w.runner.run(ctx, w.id, &message)
}

// parse parses a spec. If it is neither a program nor an address, the error suggests
// instead.
func parse(spec string, env Env, instead string) (r runner, err error) {
	scheme, rest, _ := strings.Cut(spec, ":")
	switch scheme {
	case "exec":
		r, err = newProgram(rest, env)
	case "http", "https":
		r, err = newEndpoint(spec, env)
	default:
		err = errors.New(instead)
	}
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", spec, err)
	}
	return r, nil
}
