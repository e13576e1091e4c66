// Package discover finds nodes of a cluster whose names are not known beforehand: in DNS,
// in a file, or as a program prints them.
//
// [Parse] reads a source, as it stands after --join or among the names of node.Join, and
// [Source.Find] asks it. A node asks its sources again and again, so what Find returns may
// change. One node that answers is enough to join its cluster.
package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/file"
	"github.com/distproc/distproc/wire/text"
)

const (
	// Timeout is how long a source has to answer.
	Timeout = 5 * time.Second

	// MaxFound is how many targets Find returns at most.
	MaxFound = 256

	maxText = 1 << 20 // bytes of a file, as of the output of a program
)

// A Source knows where nodes are. Its methods may be called from any number of goroutines.
type Source struct {
	text    string
	find    func(context.Context) ([]string, error)
	options Options
	timeout time.Duration // Timeout; tests shorten it
}

// Options are what a Source has to know of its program. The zero value is good unless the
// source is dns:HOST.
type Options struct {
	Port     int           // of the nodes of dns:HOST, which has none
	Resolver *net.Resolver // for dns: and srv:; net.DefaultResolver

	// Command returns a function that runs the program of exec:, as source.Command does.
	// Without one there is no such source.
	Command func(line string) (run func(context.Context) (string, error), err error)
}

// Is reports whether a text is a source and no name of a node.
func Is(text string) bool {
	scheme, _, ok := strings.Cut(text, ":")
	return ok && slices.Contains([]string{"dns", "srv", "file", "exec"}, scheme)
}

// Parse reads a source:
//
//	dns:HOST[:PORT]                all addresses of HOST, with PORT or that of the options
//	srv:_distproc._tcp.DOMAIN      the hosts and ports of an SRV record
//	file:PATH                      a file with one target a line
//	exec:PROGRAM ARGS…             a program that prints such lines
//
// A target is NAME@HOST, NAME@HOST:PORT, or HOST:PORT for any node that is there. In files
// and outputs # begins a comment.
func Parse(s string, o Options) (*Source, error) {
	src := &Source{text: s, options: o, timeout: Timeout}
	scheme, rest, _ := strings.Cut(s, ":")
	var err error
	switch scheme {
	case "dns":
		err = src.parseDNS(rest)
	case "srv":
		err = src.parseSRV(rest)
	case "file":
		src.find = func(context.Context) ([]string, error) { return readFile(rest) }
		if rest == "" || strings.Contains(rest, "\x00") {
			err = errors.New("write file:PATH")
		}
	case "exec":
		err = src.parseExec(rest)
	default:
		err = errors.New("a source is dns:HOST, srv:NAME, file:PATH or exec:PROGRAM")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text.Quote(s), err)
	}
	return src, nil
}

// String returns the text that was parsed.
func (s *Source) String() string { return s.text }

// Find asks the source, for at most [Timeout], and returns the targets in the order of
// their texts. It may return an error, too, as when a line of a file makes no sense. It
// returns an error if there is no target. If there are more than [MaxFound] it returns as
// many of them at random. The texts of errors stay the same while their cause does.
func (s *Source) Find(ctx context.Context) (targets []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	targets, err = s.find(ctx)
	slices.Sort(targets)
	targets = slices.Compact(targets)
	if len(targets) == 0 && err == nil {
		err = errors.New("it names no node")
	}
	if n := len(targets); n > MaxFound {
		rand.Shuffle(n, func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
		targets = slices.Clone(targets[:MaxFound]) // the rest need not stay in memory
		slices.Sort(targets)
		err = cmp.Or(err, fmt.Errorf("it names more than %d nodes; some of them are tried at a time, at random", MaxFound))
	}
	return targets, err
}

func (s *Source) resolver() *net.Resolver { return cmp.Or(s.options.Resolver, net.DefaultResolver) }

func (s *Source) parseDNS(rest string) error {
	host, port, err := placement.ParseHost(rest)
	if dotted, ok := strings.CutSuffix(rest, "."); ok && err != nil { // HOST is not below a search domain
		host, port, err = placement.ParseHost(dotted)
		host += "."
	}
	if err != nil {
		return fmt.Errorf("%w; write dns:HOST or dns:HOST:PORT", err)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return fmt.Errorf("%s is an address already; without dns: it is HOST:PORT", host)
	}
	if port = cmp.Or(port, s.options.Port); port == 0 {
		return errors.New("the port of the nodes is missing; write dns:HOST:PORT")
	}
	s.find = func(ctx context.Context) (targets []string, err error) {
		found, err := s.resolver().LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, errors.New(wire.LookupError(err))
		}
		for _, ip := range found {
			targets = append(targets, net.JoinHostPort(ip.Unmap().WithZone("").String(), strconv.Itoa(port)))
		}
		return targets, nil
	}
	return nil
}

func (s *Source) parseSRV(rest string) error {
	name := strings.TrimSuffix(rest, ".")
	if _, port, err := placement.ParseHost(name); err != nil || port != 0 {
		return errors.New("write srv:NAME, where NAME is that of an SRV record, such as _distproc._tcp.example.com")
	}
	s.find = func(ctx context.Context) (targets []string, err error) {
		_, found, err := s.resolver().LookupSRV(ctx, "", "", rest)
		if err != nil && len(found) == 0 {
			return nil, errors.New(wire.LookupError(err))
		}
		for _, r := range found {
			target := strings.TrimSuffix(r.Target, ".")
			if host, _, err := placement.ParseHost(target); err == nil && r.Port != 0 {
				targets = append(targets, net.JoinHostPort(host, strconv.Itoa(int(r.Port))))
			}
		}
		if err != nil || len(targets) < len(found) {
			err = errors.New("some of its records have no host or no port; they are left out")
		}
		return targets, err
	}
	return nil
}

func (s *Source) parseExec(rest string) error {
	if s.options.Command == nil {
		return errors.New("this program runs no other ones; name a file: instead")
	}
	run, err := s.options.Command(rest)
	s.find = func(ctx context.Context) ([]string, error) {
		out, err := run(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("killed: it did not end within %v", s.timeout)
			}
			return nil, errors.New(text.Line(err.Error(), 300))
		}
		return readLines("its output", out)
	}
	return err
}

func readFile(path string) ([]string, error) {
	data, err := file.Read(path, maxText)
	if err != nil {
		return nil, err
	}
	return readLines(path, string(data))
}

// readLines returns the targets in a text, and an error that names the first line that has
// none and is no comment.
func readLines(path, s string) (targets []string, err error) {
	number, bad := 0, 0
	for line := range strings.Lines(strings.TrimPrefix(s, "\ufeff")) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		_, lineErr := protocol.ParseTarget(line)
		if lineErr == nil {
			targets = append(targets, line)
			continue
		}
		if bad++; bad == 1 {
			err = fmt.Errorf("%s:%d: %w", path, number, lineErr)
		}
	}
	switch {
	case bad == 2:
		err = fmt.Errorf("%w; 1 more line makes no sense, too", err)
	case bad > 2:
		err = fmt.Errorf("%w; %d more lines make no sense, too", err, bad-1)
	}
	return targets, err
}
