package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

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

	cookie     []byte
	config     *tls.Config
	verifyName bool
	versions   versionRange // of the protocol, to which tests give others
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
// least 16 bytes. Without files, TLS uses a throw-away certificate and only the cookie
// authenticates. With files, both sides must also present a certificate of that CA. The
// key's file must be readable by its owner only.
func NewCredentials(cookie []byte, files TLSFiles) (*Credentials, error) {
	if err := checkCookie(cookie); err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		InsecureSkipVerify:     true, // the cookie authenticates, bound to this TLS session
		SessionTicketsDisabled: true,
		GetConfigForClient:     onHello,
		// Small first records would only cost system calls here.
		DynamicRecordSizingDisabled: true,
	}
	c := &Credentials{cookie: cookie, config: config, verifyName: files.VerifyName}
	c.versions.lowest, c.versions.highest = Versions()
	if files == (TLSFiles{}) {
		cert, err := throwAwayCertificate()
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
		return c, nil
	}
	if files.Cert == "" || files.Key == "" || files.CA == "" {
		return nil, errors.New("mutual TLS needs a certificate, its key and a CA: give all three")
	}
	cert, roots, err := files.read()
	if err != nil {
		return nil, err
	}
	config.Certificates = []tls.Certificate{cert}
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(s tls.ConnectionState) error {
		return verifyChain(s.PeerCertificates, roots)
	}
	return c, nil
}

// read returns this node's certificate and that of the CA.
func (f *TLSFiles) read() (cert tls.Certificate, roots *x509.CertPool, err error) {
	certPEM, err := file.Read(f.Cert, maxPEM)
	if err != nil {
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
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return cert, nil, fmt.Errorf("TLS CA: no certificate in %s; it must be a PEM file", f.CA)
	}
	return cert, roots, nil
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
