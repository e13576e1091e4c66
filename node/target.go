package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/distproc/distproc/wire"
)

// CheckAddr returns an error unless a text says where a node is, as Join, Connect and Attach take it: NAME@HOST,
// NAME@HOST:PORT, or HOST:PORT.
func CheckAddr(text string) error {
	_, err := parseTarget(text)
	return err
}

// parseTarget reads NAME@HOST, NAME@HOST:PORT, or HOST:PORT. The last one has no Node yet: see identify.
func parseTarget(text string) (Addr, error) {
	if strings.Contains(text, "@") {
		return ParseAddr(text)
	}
	if a, err := ParseAddr("x@" + text); err == nil && a.Port != 0 {
		a.Node = ""
		return a, nil
	}
	_, err := ParseAddr(text)
	return Addr{}, fmt.Errorf("%w, or HOST:PORT", err)
}

// target returns the text that names a in messages.
func (a Addr) target() string {
	if a.Node == "" {
		return a.HostPort()
	}
	return a.Name.String()
}

// identify returns a with a name. If a has none, it dials a and takes the name and the port that the node there says.
func identify(ctx context.Context, a Addr, creds *wire.Credentials) (Addr, error) {
	if a.Node != "" {
		return a, nil
	}
	s, err := wire.Dial(ctx, a.HostPort(), creds, clientHello(), refuser{})
	if err != nil {
		return Addr{}, err
	}
	defer s.Close()
	name, err := ParseName(s.Peer().Name)
	if err != nil {
		return Addr{}, wire.Errorf(wire.WrongName, wire.NotRun, "%s: %v", a.HostPort(), err)
	}
	if said, err := addrOf(name, s.Peer().Addr); err == nil {
		return said, nil
	}
	return Addr{Name: name, Port: a.Port}, nil
}
