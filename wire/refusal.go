package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/distproc/distproc/wire/text"
)

// Errors of connections that end before the peer has proved the cookie.
var (
	errTooMuch = errors.New("the peer sends too much before it proves the cookie; is it a distproc node?")
	errPutOut  = errors.New("it made room for others, as it had not proved the cookie")
)

// DescribeRefusal describes an error given to [Events].Refused for a log. The class is
// one of a few dozen constants. The text is one printable line of at most 200 bytes.
func DescribeRefusal(err error) (class, why string) {
	class, why = refusalClass(err), err.Error()
	if op, ok := errors.AsType[*net.OpError](err); ok {
		why = op.Err.Error() // without the ports, which differ each time
	}
	const failed = "handshake failed: "
	if _, ok := errors.AsType[*Error](err); !ok {
		why = failed + why
	}
	return class, text.Line(why, maxLogText)
}

func refusalClass(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code.Error()
	}
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	_, unknownCA := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case is(errTooMuch):
		return "too much"
	case is(errPutOut):
		return "put out"
	case is(os.ErrDeadlineExceeded, context.DeadlineExceeded):
		return "timeout"
	case is(io.EOF, io.ErrUnexpectedEOF, errConnReset, syscall.EPIPE, net.ErrClosed):
		return "broken off"
	case notTLS:
		return "not TLS"
	case unknownCA, invalid:
		return "certificate"
	}
	return "handshake"
}

// HostOf returns the prefix of addresses that count as one host: an IPv4 address, or an
// IPv6 network of 64 bits, in which a host may choose any address. It returns the zero
// Prefix if addr has no IP address.
func HostOf(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap(), 64
	if ip.Is4() {
		bits = 32
	}
	host, _ := ip.WithZone("").Prefix(bits) // never fails: bits fits
	return host
}
