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
	"os"
	"time"
)

// alpn names the protocol in TLS, so that a peer of another kind is told apart at once.
const alpn = "distproc"

// Credentials are what a node shows to its peers and asks of them. They can be shared by any
// number of connections, and must not be copied.
type Credentials struct {
	Traffic    Traffic // of all connections that use them
	NoBusyPoll bool    // their readers always sleep until something comes; set before use

	cookie []byte
	config *tls.Config
}

// TLSFiles names PEM files for mutual TLS. Either all are given or none.
type TLSFiles struct {
	Cert, Key string // of this node
	CA        string // that signed the certificates of all nodes
}

// NewCredentials returns credentials for clusters that share the cookie, which must not be empty.
// Without files, TLS uses a throw-away certificate and the cookie alone authenticates; with files
// both sides must also show a certificate of that CA. Its host name is not checked: to be signed by
// the cluster's CA is what counts.
func NewCredentials(cookie []byte, files TLSFiles) (*Credentials, error) {
	if len(cookie) == 0 {
		return nil, errors.New("the cookie is empty")
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		InsecureSkipVerify:     true, // the cookie, bound to this TLS session, authenticates
		SessionTicketsDisabled: true,
		GetConfigForClient:     onHello,
		// Latency of the first byte matters to web pages; here small records only cost system calls.
		DynamicRecordSizingDisabled: true,
	}
	c := &Credentials{cookie: cookie, config: config}
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
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate and key: %w", err)
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, fmt.Errorf("TLS CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("TLS CA: no certificate in %s", files.CA)
	}
	config.Certificates = []tls.Certificate{cert}
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(s tls.ConnectionState) error {
		return verifyChain(s.PeerCertificates, roots)
	}
	return c, nil
}

// wrap returns the connection that TLS is to use.
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
