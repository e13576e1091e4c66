package wire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/distproc/distproc/wire/text"
)

// CheckOwn returns an error if peers that verify names would refuse the certificate of a
// node with that name. Without [TLSFiles.VerifyName] it returns nil. From then on
// [Credentials.ReloadTLS] checks the name, too.
func (c *Credentials) CheckOwn(name string) error {
	return c.change(func(k *keys) error {
		k.own = name
		return k.checkOwn()
	})
}

func (k *keys) checkOwn() error {
	if !k.files.VerifyName || k.own == "" {
		return nil
	}
	return checkName(k.config.Certificates[0].Leaf, k.own)
}

// checkPeer returns an error if names are verified and the peer's certificate is for
// another node.
func (k *keys) checkPeer(conn *tls.Conn, name string) error {
	if !k.files.VerifyName {
		return nil
	}
	return checkName(conn.ConnectionState().PeerCertificates[0], name)
}

// checkName returns an error unless the certificate names the node NAME@HOST, either by
// HOST as a DNS name or IP address, or by NAME@HOST as an e-mail address.
func checkName(cert *x509.Certificate, node string) error {
	name, host, _ := strings.Cut(node, "@")
	if cert.VerifyHostname(host) == nil {
		return nil
	}
	for _, address := range cert.EmailAddresses {
		if n, h, _ := strings.Cut(address, "@"); n == name && strings.EqualFold(h, host) {
			return nil
		}
	}
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	has := "nothing"
	if len(names) > 0 {
		has = strings.Join(names, ", ")
	}
	return fmt.Errorf("the certificate of %s names %s; it needs the host %s, or the e-mail address %s, among its alternative names",
		node, text.Line(has, maxLogText), host, node)
}
