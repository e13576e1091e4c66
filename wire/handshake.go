package wire

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/distproc/distproc/wire/text"
)

// The handshake, after TLS:
//
//	dialer → acceptor   proof (32 bytes)
//	dialer ← acceptor   verdict (1 byte: 1 if the proof is right), then a proof (32 bytes)
//	dialer → acceptor   Hello (a gob frame)
//	dialer ← acceptor   welcome (a gob frame)
//
// A proof is HMAC-SHA-256 under a cookie over the direction's label and a key exported
// from the TLS session (RFC 8446, section 7.5).
//
// The dialer proves the first of its cookies. The acceptor compares that with the proofs of
// all cookies that it accepts, and answers with its own proof under the same cookie, so both
// sides know that the other one has it. The dialer takes no proof under another cookie:
// whoever knows a cookie that is on its way out can pass for an acceptor only to those who
// still show it. A peer learns whether the acceptor has the cookie that it proved, and
// nothing about the others.
const (
	exporterLabel = "EXPORTER-distproc-cookie"
	dialerLabel   = "distproc dialer 1"
	acceptorLabel = "distproc acceptor 1"

	verdictWrong = 0
	verdictRight = 1

	maxHello = 16 << 10 // bytes
)

// welcome is the acceptor's last message: its hello, or the reason for a refusal.
type welcome struct {
	Hello   Hello
	Code    Code
	Text    string
	Members []Member // with NameTaken: the node that has the name
}

// exported returns the key that a TLS session exports for proofs.
func exported(conn *tls.Conn) ([]byte, error) {
	state := conn.ConnectionState()
	return state.ExportKeyingMaterial(exporterLabel, nil, sha256.Size)
}

// proof returns the proof of a cookie with a key from exported.
func proof(cookie, key []byte, label string) []byte {
	mac := hmac.New(sha256.New, cookie)
	mac.Write([]byte(label))
	mac.Write(key)
	return mac.Sum(nil)
}

// proved returns the cookie that a dialer has proved, or nil. It takes the same time
// whichever that is.
func (k *keys) proved(theirs, key []byte) (cookie []byte) {
	for _, c := range k.cookies {
		if hmac.Equal(theirs, proof(c, key, dialerLabel)) {
			cookie = c
		}
	}
	return cookie
}

// Dial connects to a node at addr (host:port), introduces this side with hello, and
// returns the session. It fails after 3 s or when ctx ends. The error is an [*Error]. If
// the acceptor refuses, it has the code of the refusal, such as WrongCookie, WrongVersion
// or NameTaken.
func Dial(ctx context.Context, addr string, c *Credentials, hello Hello, h Handler) (*Session, error) {
	conn, theirs, version, err := c.dial(ctx, addr, hello)
	if err != nil {
		return nil, err
	}
	return newSession(conn, hello, theirs, version, true, h)
}

// dial connects to addr and performs the handshake. The error is an *Error.
func (c *Credentials) dial(ctx context.Context, addr string, hello Hello) (*tls.Conn, Hello, uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	raw, err := c.network().Dial(ctx, addr)
	if err != nil {
		return nil, Hello{}, 0, &Error{Code: Unreachable, Outcome: NotRun, Text: dialError(ctx, addr, err)}
	}
	conn, theirs, version, err := c.greet(ctx, raw, hello)
	if err != nil {
		raw.Close()
		if _, ok := errors.AsType[*Error](err); !ok {
			err = &Error{Code: Unreachable, Outcome: NotRun, Text: dialError(ctx, addr, err)}
		}
	}
	return conn, theirs, version, err
}

// dialError returns an error of package net as one short sentence.
func dialError(ctx context.Context, addr string, err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return addr + ": " + LookupError(e)
	}
	if ctx.Err() != nil {
		return "no answer from " + addr
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			return addr + ": " + errno.Error()
		}
		return addr + ": " + op.Err.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return addr + " closed the connection; is it a distproc node?"
	}
	return text.Line(addr+": handshake: "+err.Error(), maxLogText)
}

// greet is the dialer's side of the handshake.
func (c *Credentials) greet(ctx context.Context, raw net.Conn, hello Hello) (*tls.Conn, Hello, uint16, error) {
	fail := func(err error) (*tls.Conn, Hello, uint16, error) { return nil, Hello{}, 0, err }
	// Close is the only way to interrupt reads and writes of every kind of connection.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	k := c.keys.Load()
	conn := tls.Client(c.wrap(raw), k.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fail(err)
	}
	key, err := exported(conn)
	if err != nil {
		return fail(err)
	}
	if _, err := conn.Write(proof(k.cookies[0], key, dialerLabel)); err != nil {
		return fail(err)
	}
	verdict := make([]byte, 1)
	if _, err := io.ReadFull(conn, verdict); err != nil {
		return fail(err)
	}
	if verdict[0] != verdictRight {
		return fail(Errorf(WrongCookie, NotRun, "%s has another one; see --cookie-file", raw.RemoteAddr()))
	}
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return fail(err)
	}
	if !hmac.Equal(theirs, proof(k.cookies[0], key, acceptorLabel)) {
		return fail(Errorf(WrongCookie, NotRun, "%s does not know it", raw.RemoteAddr()))
	}
	hello.MinVersion, hello.MaxVersion = c.versions.lowest, c.versions.highest
	if err := sendGob(conn, hello); err != nil {
		return fail(err)
	}
	var w welcome
	if err := recvGob(conn, &w, maxHello); err != nil {
		return fail(err)
	}
	if w.Code != codeOK {
		return fail(&Error{Code: w.Code, Outcome: NotRun, Text: text.Line(w.Text, maxText), Members: w.Members})
	}
	version, err := c.versions.common(w.Hello, raw.RemoteAddr().String(), hello.Name)
	if err != nil {
		return fail(err)
	}
	if err := k.checkPeer(conn, w.Hello.Name); err != nil {
		return fail(Errorf(WrongName, NotRun, "%v", err))
	}
	return conn, w.Hello, version, nil
}

// receive is the acceptor's side of the handshake, up to the dialer's hello.
func (c *Credentials) receive(ctx context.Context, n *newcomer) (*Incoming, error) {
	k := c.keys.Load()
	conn := tls.Server(n, k.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	key, err := exported(conn)
	if err != nil {
		return nil, err
	}
	theirs := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return nil, err
	}
	cookie := k.proved(theirs, key)
	if cookie == nil {
		_, _ = conn.Write([]byte{verdictWrong}) // the peer is refused even if this fails
		return nil, &Error{Code: WrongCookie, Outcome: NotRun}
	}
	n.trust()
	if _, err := conn.Write(append([]byte{verdictRight}, proof(cookie, key, acceptorLabel)...)); err != nil {
		return nil, err
	}
	in := &Incoming{conn: conn, newcomer: n, versions: c.versions, traffic: &c.Traffic}
	if err := recvGob(conn, &in.Hello, maxHello); err != nil {
		return nil, err
	}
	if in.version, err = c.versions.common(in.Hello, in.Hello.Name, conn.LocalAddr().String()); err != nil {
		_ = sendGob(conn, welcome{Code: WrongVersion, Text: asError(err).Text})
		return nil, err
	}
	if in.Hello.Role == RoleClient { // clients may have any name
		return in, nil
	}
	if err := k.checkPeer(conn, in.Hello.Name); err != nil {
		_ = sendGob(conn, welcome{Code: Disagreement, Text: text.Line(err.Error(), maxText)})
		return nil, Errorf(Disagreement, NotRun, "%v", err)
	}
	return in, nil
}

// A versionRange is the protocol versions that a side speaks.
type versionRange struct{ lowest, highest uint16 }

func (r versionRange) String() string {
	if r.lowest == r.highest {
		return fmt.Sprint(r.lowest)
	}
	return fmt.Sprintf("%d to %d", r.lowest, r.highest)
}

// Versions returns the lowest and the highest version of the protocol that this program
// speaks.
func Versions() (lowest, highest uint16) { return minVersion, maxVersion }

// common returns the highest version that both sides speak. If there is none, the error
// says by their names which side is older. The acceptor sends it to the dialer, so both
// sides show the same text.
func (r versionRange) common(h Hello, peer, own string) (uint16, error) {
	v := min(h.MaxVersion, r.highest)
	if v >= max(h.MinVersion, r.lowest) {
		return v, nil
	}
	theirs := versionRange{h.MinVersion, h.MaxVersion}
	if peer = text.Line(cmp.Or(peer, "the peer"), maxLogText/2); theirs.lowest > r.highest {
		return 0, Errorf(WrongVersion, NotRun, "upgrade %s, which speaks %v; %s speaks %v", own, r, peer, theirs)
	}
	return 0, Errorf(WrongVersion, NotRun, "upgrade %s, which speaks %v; %s speaks %v", peer, theirs, own, r)
}

// An Incoming is a connection whose peer has proved the cookie and introduced itself.
// Exactly one of Accept, AcceptLink and Refuse must be called, once.
type Incoming struct {
	Hello    Hello
	conn     *tls.Conn
	newcomer *newcomer // holds a place among the pending connections
	versions versionRange
	version  uint16
	traffic  *Traffic
}

// RemoteAddr returns the address of the peer.
func (in *Incoming) RemoteAddr() net.Addr { return in.conn.RemoteAddr() }

// Accept admits the peer, introduces this side with hello, and returns the session. Calls
// of the peer go to h.
func (in *Incoming) Accept(hello Hello, h Handler) (*Session, error) {
	if err := in.welcome(hello); err != nil {
		return nil, err
	}
	return newSession(in.conn, hello, in.Hello, in.version, false, h)
}

// welcome ends the handshake.
func (in *Incoming) welcome(hello Hello) error {
	defer in.newcomer.lobby.remove(in.newcomer)
	hello.MinVersion, hello.MaxVersion = in.versions.lowest, in.versions.highest
	err := sendGob(in.conn, welcome{Hello: hello})
	if err == nil {
		err = in.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		in.conn.Close()
		return Errorf(Unreachable, NotRun, "handshake with %s: %v", in.RemoteAddr(), err)
	}
	return nil
}

// Refuse sends the peer the reason for the refusal, and closes the connection.
func (in *Incoming) Refuse(why *Error) {
	defer in.newcomer.lobby.remove(in.newcomer)
	in.traffic.Refused.Add(1)
	_ = sendGob(in.conn, welcome{Code: why.Code, Text: text.Line(why.Text, maxText), Members: why.Members})
	in.conn.Close()
}
