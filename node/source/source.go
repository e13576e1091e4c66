// Package source turns a line of text, such as a configuration file has, into the source of a kind of workers.
//
// The path of one run: [Parse] has read the line once and found its mistakes, so that a run fails only for what the id
// or the world outside has. A worker of a [node.Node] calls the [node.Source] with its id. For "exec:" the id takes the
// place of {id} in the words that words.go has split, exec.go starts the program and kills what is left of it at the
// end (group_unix.go), and what it printed is the value. For "http://" and "https://" the id goes, escaped, into an
// address that cannot lead elsewhere (address.go), http.go gets that, and the body is the value. Both keep at most
// [wire.MaxValue] bytes, and tell of a failure by its first line (firstline.go).
//
// # Programs
//
// "exec:PROGRAM ARGS…" is split at spaces, tabs and newlines into words. No shell is involved: nothing is expanded, and
// there are no operators and no comments. Quoting is that of a POSIX shell: '…' takes all as it is; in "…" a backslash
// escapes only \, ", $, ` and the end of a line; elsewhere it escapes any character. One before the end of a line
// joins two lines.
//
// Then {id} is replaced in each word but the first, quoted or not, and stays within its word whatever the id contains.
// An id may begin with a dash: write "--" before {id} if the program reads options. No program can be given an id with
// a NUL byte.
//
//	exec:price-of -- {id}
//	exec:sh -c 'git log --oneline -- "$1" | head -n 1' sh {id}
//
// A program without a slash in its name is looked up in PATH. It has the node's environment without DISTPROC_COOKIE,
// and DISTPROC_ID, DISTPROC_KIND and DISTPROC_NODE; its standard input is empty. What it prints, up to 1 MiB, is the
// value, without the newline at its end. If its exit status is not 0 the run fails with the first line of its standard
// error.
//
// It runs in a process group of its own, which is killed (SIGKILL) when the context of the run ends, when it prints too
// much, and also when it has ended, because what it left in the background would overlap with the next run for the id.
// So a program cannot tidy up when its time is over, and what shall stay must leave the group (setsid) and not
// hold the output. Outside Unix only the program itself is killed.
//
// # Addresses
//
// "http://HOST/PATH…?QUERY" and "https://…" are asked with GET. Their path and query may have {id}, which is
// percent-encoded, so that it stays within its segment or parameter. Ids for which no encoding would do that are
// refused: the empty one in a path, and those in which a server might find a segment "." or "..".
//
// A 2xx body, up to 1 MiB, is the value, with its Content-Type; 204 and 205 are an empty value. Any other status fails
// the run, with the first line of the body if that is plain text or JSON. Up to 10 redirects are followed, on the same
// scheme, host and port only. Requests carry User-Agent, X-Distproc-Kind and X-Distproc-Node, and connections are
// kept for 30 s for the next ones. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are obeyed. Only the context limits how long
// the server may take.
package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distproc/distproc/node"
)

// An Env is for whom a source runs. Programs and servers are told.
type Env struct {
	Kind string // of the worker
	Node string // NAME@HOST of the node that runs it
}

// placeholder stands for the id, in a word of a program or in an address.
const placeholder = "{id}"

// Parse returns the source that spec describes: "random", "exec:PROGRAM ARGS…" or an http(s) address. The source may
// run any number of times at once, and has nothing to close. A program that is not there is an error of Parse, too.
func Parse(spec string, env Env) (node.Source, error) {
	source, err := parse(spec, env)
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", spec, err)
	}
	return source, nil
}

func parse(spec string, env Env) (node.Source, error) {
	scheme, rest, _ := strings.Cut(spec, ":")
	switch {
	case spec == "random":
		return node.RandomSource, nil
	case scheme == "exec":
		p, err := newProgram(rest, env)
		if err != nil {
			return nil, err
		}
		return p.run, nil
	case scheme == "http" || scheme == "https":
		g, err := newGetter(spec, env)
		if err != nil {
			return nil, err
		}
		return g.get, nil
	}
	return nil, errors.New("say random, exec:PROGRAM ARGS… or an http(s):// address")
}
