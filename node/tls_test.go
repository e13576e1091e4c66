package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// issue makes a certificate for the e-mail address, which is the name of a node, and its
// files. A CA signs it, or itself if ca is nil.
func issue(t *testing.T, dir, address string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, TLSFiles) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: ca == nil, EmailAddresses: []string{address},
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{Cert: filepath.Join(dir, address+".pem"), Key: filepath.Join(dir, address+".key"), CA: filepath.Join(dir, "ca.pem")}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, files
}

// TestVerifyName has nodes that verify names refuse one that has another node's
// certificate.
func TestVerifyName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir, host := t.TempDir(), testHost()
		ca, caKey, root := issue(t, dir, "ca", nil, nil)
		if err := os.Rename(root.Cert, root.CA); err != nil {
			t.Fatal(err)
		}
		names := []string{"1@" + host, "2@" + host}
		var nodes []*Node
		var files []TLSFiles
		for _, name := range names {
			_, _, f := issue(t, dir, name, ca, caKey)
			f.VerifyName = true
			n, err := Start(Config{Name: name, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), TLS: f})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close(t.Context())
			nodes, files = append(nodes, n), append(files, f)
		}
		connect(t, nodes[0], names[1])
		for _, n := range nodes {
			if err := n.Ready(t.Context()); err != nil {
				t.Errorf("%s: %v", n.Self(), err)
			}
		}
		config := Config{Name: "3@" + host, Cookie: testCookie, network: memory, TLS: files[1]}
		if _, err := Start(config); err == nil || !strings.Contains(err.Error(), "names "+names[1]) {
			t.Errorf("a node starts with a certificate of another: %v", err)
		}
		config.TLS.VerifyName = false
		n, err := Start(config)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(t.Context())
		if c := n.Connect(t.Context(), names[0]); !errors.Is(c[0].Err, ErrDisagreement) || !strings.Contains(c[0].Err.Error(), "names "+names[1]) {
			t.Errorf("the cluster admits a node with a certificate of another: %v", c[0].Err)
		}
		if c := nodes[0].Connect(t.Context(), n.Self()); c[0].Err == nil || !strings.Contains(c[0].Err.Error(), "names "+names[1]) {
			t.Errorf("a node joins one with a certificate of another: %v", c[0].Err)
		}
		client, err := Attach(t.Context(), ClientConfig{Node: names[0], Cookie: testCookie, network: memory, TLS: files[1]})
		if err != nil {
			t.Fatalf("a client, whose name is free: %v", err)
		}
		client.Close()
	})
}
