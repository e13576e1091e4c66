package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mutual(t *testing.T, files TLSFiles) *Credentials {
	t.Helper()
	c, err := NewCredentials(testCookie, files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A testCA issues certificates as files.
type testCA struct {
	dir  string
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T, dir, name string) *testCA {
	t.Helper()
	ca := &testCA{dir: dir, file: filepath.Join(dir, name+".pem")}
	ca.cert, ca.key = ca.create(t, name, nil)
	return ca
}

// issue makes a certificate with these alternative names: hosts, IP and e-mail addresses.
func (ca *testCA) issue(t *testing.T, name string, sans ...string) TLSFiles {
	t.Helper()
	_, key := ca.create(t, name, ca.cert, sans...)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{Cert: filepath.Join(ca.dir, name+".pem"), Key: filepath.Join(ca.dir, name+".key"), CA: ca.file}
	writePEM(t, files.Key, "PRIVATE KEY", der)
	return files
}

// create makes a certificate, signed by the CA, or by itself if parent is nil, and its
// file.
func (ca *testCA) create(t *testing.T, name string, parent *x509.Certificate, sans ...string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  parent == nil,
	}
	for _, san := range sans {
		switch ip := net.ParseIP(san); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(san, "@"):
			template.EmailAddresses = append(template.EmailAddresses, san)
		default:
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	signer := ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(ca.dir, name+".pem"), "CERTIFICATE", der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
