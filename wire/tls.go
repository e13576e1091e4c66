package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"

	secret "github.com/distproc/distproc/wire/cookie"
	"github.com/distproc/distproc/wire/file"
)

// alpn is the protocol's name in TLS, by which peers of other protocols are refused at
// once.
const alpn = "distproc"

const maxPEM = 1 << 20 // bytes of a file with certificates or a key

// Credentials authenticate a node and its peers. Any number of connections can share
// them. They must not be copied.
type Credentials struct {
	Traffic    Traffic // counts all connections with these credentials
	NoBusyPoll bool    // readers never poll; set before use
	Network    Network // that the connections use, TCP if nil; set before use

	changing sync.Mutex // held while keys changes
	keys     atomic.Pointer[keys]
	versions versionRange // of the protocol, to which tests give others
}

// keys is what a handshake uses. It does not change.
type keys struct {
	cookies [][]byte // the first is shown, all are accepted
	files   TLSFiles
	config  *tls.Config // with what the files said
	own     string      // the name that the own certificate must be for, if names are verified
}

// TLSFiles names PEM files for mutual TLS. Either all are given or none.
type TLSFiles struct {
	Cert, Key string // of this node
	CA        string // that signed the certificates of all nodes

	// VerifyName requires that the subject alternative names of a node's certificate
	// include HOST, as a DNS name or IP address, or NAME@HOST, as an e-mail address.
	// Otherwise every certificate of the CA is valid for every node. The certificates of
	// clients need no name.
	VerifyName bool
}

// NewCredentials returns credentials for a cluster with that cookie, which must have at
// least 16 bytes. A dialer proves the cookie; an acceptor also accepts peers that prove one
// of the others, of which there may be 8. Without files, TLS uses a throw-away certificate
// and only the cookie authenticates. With files, both sides must also present a certificate
// of that CA. The key's file must be readable by its owner only.
func NewCredentials(cookie []byte, files TLSFiles, others ...[]byte) (*Credentials, error) {
	c := &Credentials{}
	c.versions.lowest, c.versions.highest = Versions()
	c.keys.Store(&keys{})
	if err := c.SetCookies(cookie, others...); err != nil {
		return nil, err
	}
	if err := c.setTLS(files); err != nil {
		return nil, err
	}
	return c, nil
}

// SetCookies replaces the cookies: see [NewCredentials]. Handshakes that begin later use
// the new ones; sessions and links go on. After an error the cookies are as before.
func (c *Credentials) SetCookies(cookie []byte, others ...[]byte) error {
	cookies := append([][]byte{cookie}, others...)
	if err := secret.Check(cookies); err != nil {
		return err
	}
	return c.change(func(k *keys) error { k.cookies = cookies; return nil })
}

// ReloadTLS reads the files of [NewCredentials] again, if it got any. Handshakes that begin
// later use them; sessions and links go on. After an error all is as before, also if a file
// is half written, or the certificate is not for the name that [Credentials.CheckOwn] got.
func (c *Credentials) ReloadTLS() error {
	if files := c.keys.Load().files; files != (TLSFiles{}) {
		return c.setTLS(files)
	}
	return nil
}

func (c *Credentials) setTLS(files TLSFiles) error {
	config, err := files.config()
	if err != nil {
		return err
	}
	return c.change(func(k *keys) error {
		k.files, k.config = files, config
		return k.checkOwn()
	})
}

// change replaces the keys by a changed copy, unless f fails.
func (c *Credentials) change(f func(*keys) error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	changed := *c.keys.Load()
	if err := f(&changed); err != nil {
		return err
	}
	c.keys.Store(&changed)
	return nil
}

// config returns the configuration of TLS with the files, or without any.
func (f *TLSFiles) config() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		InsecureSkipVerify:     true, // the cookie authenticates, bound to this TLS session
		SessionTicketsDisabled: true,
		GetConfigForClient:     onHello,
		// Small first records would only cost system calls here.
		DynamicRecordSizingDisabled: true,
	}
	if *f == (TLSFiles{}) {
		cert, err := throwAwayCertificate()
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
		return config, nil
	}
	if f.Cert == "" || f.Key == "" || f.CA == "" {
		return nil, errors.New("mutual TLS needs a certificate, its key and a CA: give all three")
	}
	cert, roots, err := f.read()
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{cert}
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(s tls.ConnectionState) error {
		return verifyChain(s.PeerCertificates, roots)
	}
	return config, nil
}

// read returns this node's certificate and that of the CA.
func (f *TLSFiles) read() (cert tls.Certificate, roots *x509.CertPool, err error) {
	certPEM, err := file.Read(f.Cert, maxPEM)
	if err != nil {
		return cert, nil, fmt.Errorf("TLS certificate: %w", err)
	}
	if _, err := certificates(certPEM, f.Cert); err != nil {
		return cert, nil, fmt.Errorf("TLS certificate: %w", err)
	}
	keyPEM, err := file.ReadSecret(f.Key, maxPEM)
	if err != nil {
		return cert, nil, fmt.Errorf("TLS key: %w", err)
	}
	if cert, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return cert, nil, fmt.Errorf("TLS certificate %s and key %s: %w", f.Cert, f.Key, err)
	}
	caPEM, err := file.Read(f.CA, maxPEM)
	if err != nil {
		return cert, nil, fmt.Errorf("TLS CA: %w", err)
	}
	cas, err := certificates(caPEM, f.CA)
	if err != nil {
		return cert, nil, fmt.Errorf("TLS CA: %w", err)
	}
	roots = x509.NewCertPool()
	for _, ca := range cas {
		roots.AddCert(ca)
	}
	return cert, roots, nil
}

// certificates returns the certificates in the text of the PEM file at path. Package x509
// skips what it cannot read, and so takes a file that is half written for a shorter one.
// Here that is an error.
func certificates(text []byte, path string) (list []*x509.Certificate, err error) {
	begin := []byte("-----BEGIN ")
	line := 1 // of the rest of the text
	for rest := text; bytes.Contains(rest, begin); {
		at := bytes.Index(rest, begin)
		line += bytes.Count(rest[:at], []byte("\n"))
		block, after := pem.Decode(rest[at:])
		if block == nil || bytes.Count(rest[at:len(rest)-len(after)], begin) > 1 {
			return nil, fmt.Errorf("%s:%d: what begins here has no end; is the file half written?", path, line)
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
			list = append(list, cert)
		}
		line += bytes.Count(rest[at:len(rest)-len(after)], []byte("\n"))
		rest = after
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no certificate in %s; it must be a PEM file", path)
	}
	return list, nil
}

// wrap returns the connection for TLS to use.
func (c *Credentials) wrap(conn net.Conn) net.Conn {
	if !c.NoBusyPoll {
		conn = polled(conn)
	}
	return c.Traffic.counted(conn)
}

func verifyChain(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the peer shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

func throwAwayCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-24 * time.Hour),
		NotAfter:     time.Now().AddDate(100, 0, 0), // it lives as long as the process
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
