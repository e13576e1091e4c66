// Package endpoint decides where a node listens and where others dial it.
//
// Both follow from the name of a node unless its operator says otherwise: a node in a
// container or behind NAT listens at an address that others cannot dial. [Parse] reads
// what the operator says, and [Endpoint.Resolve] looks up a HOST that is a DNS name.
package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// lookupTimeout is how long the name servers have to answer when a node starts.
const lookupTimeout = 3 * time.Second

// An Endpoint is where a node listens, and where others dial it.
type Endpoint struct {
	Addr   placement.Addr // the name, and where others dial it
	Listen string         // host:port to bind; an empty host means all addresses

	asked bool // the operator has given Listen
}

// Parse returns the endpoint of the node NAME@HOST, or NAME@HOST:PORT. A port other than 0
// is the node's instead of the one that follows from its name. Listen is ADDR or
// ADDR:PORT, and advertise HOST or HOST:PORT; what they lack is the HOST and the port of
// the node. Either may be empty.
func Parse(name string, port int, listen, advertise string) (*Endpoint, error) {
	a, err := placement.ParseAddr(name)
	if err != nil {
		return nil, err
	}
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("--port %d: a port is a number from 1 to 65535", port)
	}
	if unspecified(a.Host) {
		return nil, fmt.Errorf("node name %s: nobody can dial %s; name an address of the machine, and pass --listen %[2]s", a.Name, a.Host)
	}
	a.Port = cmp.Or(port, a.Port, a.DefaultPort())
	e := &Endpoint{Addr: a, Listen: net.JoinHostPort(a.Host, strconv.Itoa(a.Port))}
	if listen != "" {
		if err := e.listenOn(listen, port); err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
	}
	if advertise != "" {
		if err := e.advertise(advertise); err != nil {
			return nil, fmt.Errorf("--advertise: %w", err)
		}
	}
	return e, nil
}

// listenOn reads ADDR or ADDR:PORT. An ADDR that is an IPv6 address needs brackets only in
// front of a port.
func (e *Endpoint) listenOn(s string, port int) error {
	host, at, err := "", 0, error(nil)
	if ip, ipErr := netip.ParseAddr(s); ipErr == nil {
		host = ip.String()
	} else if s[0] == ':' { // all addresses
		_, at, err = placement.ParseHost("0.0.0.0" + s)
	} else {
		if host, at, err = placement.ParseHost(s); err == nil {
			if _, err = netip.ParseAddr(host); err != nil {
				err = errors.New("ADDR is an IP address of this machine")
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w; write ADDR or ADDR:PORT, such as 0.0.0.0 for all addresses", text.Quote(s), err)
	}
	if port != 0 && at != 0 && port != at {
		return fmt.Errorf("it has port %d, and --port is %d; give the port that others dial to --advertise", at, port)
	}
	e.Listen, e.asked = net.JoinHostPort(host, strconv.Itoa(cmp.Or(at, e.Addr.Port))), true
	return nil
}

// advertise reads HOST or HOST:PORT.
func (e *Endpoint) advertise(s string) error {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Is6() && ip.Zone() == "" {
		s = "[" + s + "]"
	}
	host, port, err := placement.ParseHost(s)
	if err != nil {
		return fmt.Errorf("%s: %w; write HOST or HOST:PORT, where others reach this node", text.Quote(s), err)
	}
	if unspecified(host) {
		return fmt.Errorf("nobody can dial %s; name the address at which others reach this node", host)
	}
	e.Addr, err = placement.AddrOf(e.Addr.Name, net.JoinHostPort(host, strconv.Itoa(cmp.Or(port, e.Addr.Port))))
	return err
}

func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsUnspecified()
}

// Bind listens, after [Endpoint.Resolve] unless the network is one of tests, and logs it if
// others may not reach the node. The error says what the operator can do.
func (e *Endpoint) Bind(ctx context.Context, creds *wire.Credentials, events wire.Events, log *slog.Logger) (*wire.Listener, error) {
	why := ""
	if creds.Network == nil {
		why = e.Resolve(ctx)
	}
	l, err := wire.Listen(e.Listen, creds, events)
	if err != nil {
		return nil, e.ListenError(err)
	}
	if why != "" {
		log.Warn("others may not reach this node", "node", e.Addr.Name.String(), "listens", l.Addr().String(), "why", why)
	}
	return l, nil
}

// Resolve sets Listen if the operator has not said where to listen and HOST is a DNS name:
// to the address of this machine that it has, or to all addresses if there are several or
// none. It gives up a lookup after 3 s. Why says, for the log, why the node listens where
// its name does not lead, or others may not reach it; otherwise it is empty.
func (e *Endpoint) Resolve(ctx context.Context) (why string) {
	if _, err := netip.ParseAddr(e.Addr.Host); e.asked || err == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.Addr.Host)
	own, ownErr := addresses()
	if err == nil && ownErr == nil {
		return e.choose(found, own)
	}
	e.listenAt("")
	if err == nil {
		return fmt.Sprintf("the addresses of this machine are unknown: %v", ownErr)
	}
	return fmt.Sprintf("%s cannot be looked up here: %s; others must be able to, or pass --advertise", e.Addr.Host, wire.LookupError(err))
}

// choose sets Listen, given the addresses that HOST has and those of this machine.
func (e *Endpoint) choose(found, own []netip.Addr) (why string) {
	var local, loopback []netip.Addr
	for _, ip := range found {
		ip = ip.Unmap()
		switch {
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		case slices.Contains(own, ip):
			local = append(local, ip)
		}
	}
	slices.SortFunc(loopback, netip.Addr.Compare) // IPv4 first
	switch {
	case len(local) == 1:
		e.listenAt(local[0].String())
	case len(local) > 1:
		e.listenAt("")
	case len(loopback) > 0:
		e.listenAt(loopback[0].String())
		if e.Addr.Host != "localhost" {
			return fmt.Sprintf("%s is %s here, which other machines cannot reach; pass --listen, or correct /etc/hosts", e.Addr.Host, loopback[0])
		}
	default:
		e.listenAt("")
		return fmt.Sprintf("%s has no address of this machine", e.Addr.Host)
	}
	return ""
}

func (e *Endpoint) listenAt(host string) {
	_, port, _ := net.SplitHostPort(e.Listen)
	e.Listen = net.JoinHostPort(host, port)
}

// addresses returns the addresses of this machine.
func addresses() (list []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				list = append(list, ip.Unmap())
			}
		}
	}
	return list, err
}

// ListenError adds to the error of listening what its operator can do about it.
func (e *Endpoint) ListenError(err error) error {
	host, port, _ := net.SplitHostPort(e.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %s of %s is taken, perhaps by another %s; pass --port for another one", port, cmp.Or(host, "this machine"), e.Addr.Name)
	case errors.Is(err, syscall.EADDRNOTAVAIL) && e.asked:
		return fmt.Errorf("--listen: %s is no address of this machine; choose one of its own, or 0.0.0.0 for all", host)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		all := "0.0.0.0"
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
			all = "::"
		}
		return fmt.Errorf("%s is no address of this machine; if others reach the node there, as behind NAT, pass --listen %s", host, all)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return fmt.Errorf("listen on %s: %w", e.Listen, err)
}
