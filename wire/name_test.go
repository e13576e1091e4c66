package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	ca := newCA(t, t.TempDir(), "ca")
	for _, c := range []struct {
		node string
		sans []string
		good bool
	}{
		{"2@10.0.0.2", []string{"10.0.0.1", "10.0.0.2"}, true},
		{"2@10.0.0.2", []string{"10.0.0.1"}, false},
		{"2@10.0.0.2", nil, false},
		{"2@[::1]", []string{"::1"}, true},
		{"2@[::1]", []string{"::2"}, false},
		{"web@db.example", []string{"DB.example"}, true},
		{"web@db.example", []string{"*.example"}, true},
		{"web@db.example", []string{"db.example.com", "example"}, false},
		{"2@10.0.0.2", []string{"2@10.0.0.2"}, true},
		{"web@db.example", []string{"1@a.example", "web@DB.example"}, true},
		{"web@db.example", []string{"Web@db.example"}, false},
		{"web@db.example", []string{"we@db.example", "web@db.example.com"}, false},
		{"", []string{"db.example", "1@db.example"}, false},
	} {
		cert, _ := ca.create(t, "node", ca.cert, c.sans...)
		err := checkName(cert, c.node)
		if (err == nil) != c.good {
			t.Errorf("%s with %q: %v", c.node, c.sans, err)
		}
		for _, san := range c.sans {
			if err != nil && !strings.Contains(err.Error(), san) {
				t.Errorf("%v does not name %s", err, san)
			}
		}
	}
}

// TestVerifyName has both sides of a handshake check the other's certificate.
func TestVerifyName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newCA(t, dir, "ca")
	one, two := ca.issue(t, "one", "1@127.0.0.1"), ca.issue(t, "two", "2@127.0.0.1")
	for name, c := range map[string]struct {
		dialer, acceptor             TLSFiles
		role                         Role
		verifyDialer, verifyAcceptor bool // each by the other
		want                         Code
	}{
		"both":                         {one, two, RoleMember, true, true, codeOK},
		"link":                         {one, two, RoleLink, true, true, codeOK},
		"wrong dialer":                 {two, two, RoleMember, true, false, Disagreement},
		"wrong link":                   {two, two, RoleLink, true, false, Disagreement},
		"wrong acceptor":               {one, one, RoleMember, false, true, WrongName},
		"wrong acceptor of a link":     {one, one, RoleLink, false, true, WrongName},
		"wrong client":                 {two, two, RoleClient, true, false, codeOK},
		"client at the wrong acceptor": {one, one, RoleClient, false, true, WrongName},
		"not verified":                 {two, one, RoleMember, false, false, codeOK},
	} {
		t.Run(name, func(t *testing.T) {
			c.acceptor.VerifyName, c.dialer.VerifyName = c.verifyDialer, c.verifyAcceptor
			l, refused := listen(t, mutual(t, c.acceptor))
			accepted := make(chan *Link, 1)
			go func() {
				defer close(accepted)
				if in, err := l.Accept(); err == nil {
					if link, err := in.AcceptLink(Hello{Name: "2@127.0.0.1"}); err == nil {
						accepted <- link
					}
				}
			}()
			dialled, err := DialLink(t.Context(), l.Addr().String(), mutual(t, c.dialer), Hello{Name: "1@127.0.0.1", Role: c.role})
			if err == nil {
				dialled.Close()
			}
			if c.want == codeOK && err != nil || c.want != codeOK && !errors.Is(err, c.want) {
				t.Errorf("dial = %v, want code %v", err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "names ") {
				t.Errorf("%v does not tell the names of the certificate", err)
			}
			if errors.Is(err, Disagreement) {
				if err := <-refused; !errors.Is(err, Disagreement) {
					t.Errorf("refused for %v, want %v", err, Disagreement)
				}
			}
			l.Close()
			if link := <-accepted; link != nil {
				link.Close()
			}
		})
	}
}

func TestCheckOwn(t *testing.T) {
	t.Parallel()
	files := newCA(t, t.TempDir(), "ca").issue(t, "one", "1@127.0.0.1")
	for _, verify := range []bool{false, true} {
		files.VerifyName = verify
		c := mutual(t, files)
		if err := c.CheckOwn("1@127.0.0.1"); err != nil {
			t.Errorf("its own name: %v", err)
		}
		if err := c.CheckOwn("2@127.0.0.1"); (err != nil) != verify {
			t.Errorf("another name: %v", err)
		}
	}
	if _, err := NewCredentials(testCookie, TLSFiles{VerifyName: true}); err == nil {
		t.Error("names are verified without certificates")
	}
}
