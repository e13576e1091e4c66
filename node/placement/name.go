package placement

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// A Name is the identity of a node, written NAME@HOST. It is comparable.
type Name struct {
	Node string // 1 to 64 of A-Za-z0-9_-
	Host string // an IP address (IPv6 without brackets) or a DNS name
}

// An Addr is a name and the port on which to find it. The port is no part of who a node
// is.
type Addr struct {
	Name
	Port int // 0: the port that follows from the name
}

// isHost reports whether each part of a DNS name has 1 to 63 of A-Za-z0-9_-, of which neither
// the first nor the last is a hyphen.
func isHost(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if len(part) < 1 || len(part) > 63 || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for _, c := range []byte(part) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
				return false
			}
		}
	}
	return true
}

// ParseAddr reads NAME@HOST or NAME@HOST:PORT. An IPv6 HOST stands in brackets.
func ParseAddr(s string) (Addr, error) {
	bad := func(why string) (Addr, error) {
		return Addr{}, fmt.Errorf("node name %s: %s; write NAME@HOST, such as 1@127.0.0.1", text.Quote(s), why)
	}
	name, rest, ok := strings.Cut(s, "@")
	if !ok {
		return bad("no @")
	}
	if !text.IsName(name) {
		return bad("NAME is " + text.NameRule)
	}
	host, port := rest, ""
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return bad("no ] after the IPv6 address")
		}
		ip, err := netip.ParseAddr(rest[1:end])
		if err != nil || !ip.Is6() {
			return bad("no IPv6 address between [ and ]")
		}
		if ip.Zone() != "" {
			return bad("a zone means nothing on other hosts")
		}
		host, port = ip.String(), rest[end+1:]
		if port != "" && port[0] != ':' {
			return bad("only :PORT may follow the ]")
		}
	} else {
		if i := strings.IndexByte(rest, ':'); i >= 0 {
			host, port = rest[:i], rest[i:]
		}
		if _, err := netip.ParseAddr(host); err != nil && (len(host) > 253 || !isHost(host)) {
			return bad("HOST is an IP address, an [IPv6] address or a DNS name")
		}
		host = strings.ToLower(host)
	}
	a := Addr{Name: Name{Node: name, Host: host}}
	if port != "" {
		n, err := strconv.Atoi(port[1:])
		if err != nil || n < 1 || n > 65535 || port[1] == '+' {
			return bad("PORT is a number from 1 to 65535")
		}
		a.Port = n
	}
	return a, nil
}

// ParseName reads NAME@HOST.
func ParseName(s string) (Name, error) {
	a, err := ParseAddr(s)
	if err == nil && a.Port != 0 {
		err = fmt.Errorf("node name %q: the port is no part of a name", s)
	}
	return a.Name, err
}

// String returns NAME@HOST, an IPv6 HOST in brackets.
func (n Name) String() string {
	if strings.Contains(n.Host, ":") {
		return n.Node + "@[" + n.Host + "]"
	}
	return n.Node + "@" + n.Host
}

// DefaultPort is the port that follows from the name, as there is no epmd to ask: a
// decimal NAME from 1 to 999 listens on 4370 + NAME, any other on 20000 + FNV-1a-32(NAME)
// mod 10000.
func (n Name) DefaultPort() int {
	if d, ok := n.decimal(); ok && d >= 1 && d <= 999 {
		return 4370 + int(d)
	}
	h := fnv.New32a()
	h.Write([]byte(n.Node))
	return 20000 + int(h.Sum32()%10000)
}

// Compare orders names the same way on every node: decimal NAMEs by number and before the
// others, the others by bytes, then by HOST.
func (n Name) Compare(m Name) int {
	nd, nok := n.decimal()
	md, mok := m.decimal()
	switch {
	case nok && mok:
		return cmp.Or(cmp.Compare(nd, md), cmp.Compare(n.Host, m.Host))
	case nok:
		return -1
	case mok:
		return 1
	}
	return cmp.Or(cmp.Compare(n.Node, m.Node), cmp.Compare(n.Host, m.Host))
}

// decimal returns NAME's value if NAME is a canonical decimal below 2^63; 01 is not.
func (n Name) decimal() (int64, bool) {
	id, err := worker.ParseID(n.Node)
	d, ok := id.Int64()
	return d, ok && err == nil && d >= 0
}

// HostPort returns the address to dial or to listen on.
func (a Addr) HostPort() string {
	port := a.Port
	if port == 0 {
		port = a.DefaultPort()
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(port))
}

// AddrOf reads where a peer says that name listens, host:port. The host is the name's.
func AddrOf(name Name, hostPort string) (Addr, error) {
	_, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return Addr{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return Addr{}, fmt.Errorf("no port in %q", hostPort)
	}
	return Addr{Name: name, Port: int(n)}, nil
}
