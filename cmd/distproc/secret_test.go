//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
)

// writeCertificate writes a certificate that is its own CA, and its key.
func writeCertificate(t *testing.T, dir string) node.TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := node.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "cert.pem")}
	writeText(t, f.Cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeText(t, f.Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	return f
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyText(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, to, string(text))
}

// TestReloadSecrets has a node read wrong cookies and certificates at SIGHUP, and then right
// ones: each wrong file is one error, and what was before stays in use.
func TestReloadSecrets(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), "1@"+testHost()
	const first, second = "the first cookie of the test", "the second cookie of the test"
	cookies := filepath.Join(dir, "cookie")
	writeText(t, cookies, first)
	before, after := writeCertificate(t, t.TempDir()), writeCertificate(t, t.TempDir())
	used := node.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "cert.pem")}
	copyText(t, before.Cert, used.Cert)
	copyText(t, before.Key, used.Key)
	n := startNode(t, name, "--cookie-file", cookies, "--tls-cert", used.Cert, "--tls-key", used.Key, "--tls-ca", used.CA)
	attach := func(cookie string, files node.TLSFiles) error {
		c, err := node.Attach(t.Context(), node.ClientConfig{Node: name, Cookie: []byte(cookie), TLS: files})
		if err == nil {
			c.Close()
		}
		return err
	}
	hangup := func() {
		t.Helper()
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	works := func(cookie string, files node.TLSFiles) {
		t.Helper()
		if err := attach(cookie, files); err != nil {
			t.Errorf("what is in use: %v", err)
		}
	}
	works(first, before)

	writeText(t, cookies, "# ours\n"+first+"\n"+second[:15]+"\n")
	hangup()
	n.awaitLog(1, "the cookies stay as they are")
	works(first, before)
	writeText(t, cookies, first+"\n"+second+"\n")
	n.awaitLog(1, `msg="cookies changed" file=`+cookies+` by=SIGHUP accepted=2 shown="the same"`)
	works(second, before)
	if got := n.log.count("level=ERROR", "cookie file "+cookies+":3: the cookie has 15 bytes"); got != 1 {
		t.Errorf("%d errors, want one that names the line:\n%s", got, n.log)
	}

	copyText(t, after.Cert, used.Cert) // and the key is still the old one
	hangup()
	n.awaitLog(1, "the certificates stay as they are")
	works(first, before)
	copyText(t, after.Key, used.Key)
	n.awaitLog(1, "certificates changed")
	works(first, after)
	if attach(first, before) == nil {
		t.Error("the old certificate is still trusted")
	}
	whole, err := os.ReadFile(after.Cert)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, used.Cert, string(whole)+string(whole[:len(whole)/2]))
	hangup()
	n.awaitLog(2, "the certificates stay as they are")
	works(first, after)
	if errors := n.log.count("level=ERROR"); errors != 3 {
		t.Errorf("%d errors, want 3:\n%s", errors, n.log)
	}
	if n.log.count("level=ERROR", "has no end; is the file half written?") != 1 {
		t.Errorf("no error says what is half written:\n%s", n.log)
	}
	if n.log.count(first) > 0 {
		t.Error("the log has a cookie")
	}
}
