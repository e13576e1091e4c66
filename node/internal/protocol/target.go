package protocol

import (
	"context"
	"fmt"
	"strings"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// ParseTarget reads NAME@HOST, NAME@HOST:PORT, or HOST:PORT. The last one has no Node
// yet: see Identify.
func ParseTarget(s string) (placement.Addr, error) {
	if strings.Contains(s, "@") {
		return placement.ParseAddr(s)
	}
	if a, err := placement.ParseAddr("x@" + s); err == nil && a.Port != 0 {
		a.Node = ""
		return a, nil
	}
	_, err := placement.ParseAddr(s)
	return placement.Addr{}, fmt.Errorf("%w, or HOST:PORT", err)
}

// TargetText returns the text that names a in messages.
func TargetText(a placement.Addr) string {
	if a.Node == "" {
		return a.HostPort()
	}
	return a.Name.String()
}

// Identify returns a with a name. If a has none, Identify dials it, and takes the name
// and the port that the node there says.
func Identify(ctx context.Context, a placement.Addr, creds *wire.Credentials) (placement.Addr, error) {
	if a.Node != "" {
		return a, nil
	}
	s, err := wire.Dial(ctx, a.HostPort(), creds, ClientHello(), Refuser{})
	if err != nil {
		return placement.Addr{}, err
	}
	defer s.Close()
	name, err := placement.ParseName(s.Peer().Name)
	if err != nil {
		return placement.Addr{}, wire.Errorf(wire.WrongName, wire.NotRun, "%s: %v", a.HostPort(), err)
	}
	if said, err := placement.AddrOf(name, s.Peer().Addr); err == nil {
		return said, nil
	}
	at := a.Host
	if at == name.Host {
		at = ""
	}
	return placement.Addr{Name: name, Port: a.Port, At: at}, nil
}
