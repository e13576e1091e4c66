package placement

import (
	"cmp"
	"errors"
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

// An Addr is a name and where to dial it, which is no part of who a node is.
type Addr struct {
	Name
	Port int    // 0: the port that follows from the name
	At   string // host to dial instead of the name's HOST, as ParseHost returns it; empty: HOST
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
	host, port, err := ParseHost(rest)
	if err != nil {
		return bad(err.Error())
	}
	return Addr{Name: Name{Node: name, Host: host}, Port: port}, nil
}

// ParseHost reads HOST or HOST:PORT, where HOST is an IP address, an IPv6 address in
// brackets, or a DNS name. It returns the host in lower case and without brackets, and
// port 0 if there is none.
func ParseHost(s string) (host string, port int, err error) {
	host, rest := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("no ] after the IPv6 address")
		}
		ip, err := netip.ParseAddr(s[1:end])
		if err != nil || !ip.Is6() {
			return "", 0, errors.New("no IPv6 address between [ and ]")
		}
		if ip.Zone() != "" {
			return "", 0, errors.New("a zone means nothing on other hosts")
		}
		host, rest = ip.String(), s[end+1:]
		if rest != "" && rest[0] != ':' {
			return "", 0, errors.New("only :PORT may follow the ]")
		}
	} else {
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, rest = s[:i], s[i:]
		}
		if _, err := netip.ParseAddr(host); err != nil && (len(host) > 253 || !isHost(host)) {
			return "", 0, errors.New("HOST is an IP address, an [IPv6] address or a DNS name")
		}
		host = strings.ToLower(host)
	}
	if rest == "" {
		return host, 0, nil
	}
	if port, err = strconv.Atoi(rest[1:]); err != nil || port < 1 || port > 65535 || rest[1] == '+' {
		return "", 0, errors.New("PORT is a number from 1 to 65535")
	}
	return host, port, nil
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
	return net.JoinHostPort(cmp.Or(a.At, a.Host), strconv.Itoa(port))
}

// AddrOf returns the address of a name that is to be dialled at host:port, as
// [Addr.HostPort] writes it.
func AddrOf(name Name, hostPort string) (Addr, error) {
	host, port, err := ParseHost(hostPort)
	if err != nil {
		return Addr{}, fmt.Errorf("address %s: %w", text.Quote(hostPort), err)
	}
	if port == 0 {
		return Addr{}, fmt.Errorf("no port in %s", text.Quote(hostPort))
	}
	if host == name.Host {
		host = ""
	}
	return Addr{Name: name, Port: port, At: host}, nil
}
