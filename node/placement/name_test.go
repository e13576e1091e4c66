package placement

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

func TestParseAddr(t *testing.T) {
	for s, want := range map[string]struct {
		addr Addr
		dial string
		name string
	}{
		"2@127.0.0.1":        {Addr{Name: Name{"2", "127.0.0.1"}, Port: 0}, "127.0.0.1:4372", "2@127.0.0.1"},
		"999@h":              {Addr{Name: Name{"999", "h"}, Port: 0}, "h:5369", "999@h"},
		"2@127.0.0.1:5000":   {Addr{Name: Name{"2", "127.0.0.1"}, Port: 5000}, "127.0.0.1:5000", "2@127.0.0.1"},
		"a_b-C@[::1]":        {Addr{Name: Name{"a_b-C", "::1"}, Port: 0}, "[::1]:24741", "a_b-C@[::1]"},
		"1@[0:0::1]:80":      {Addr{Name: Name{"1", "::1"}, Port: 80}, "[::1]:80", "1@[::1]"},
		"web@DB.Example.com": {Addr{Name: Name{"web", "db.example.com"}, Port: 0}, "db.example.com:27825", "web@db.example.com"},
	} {
		a, err := ParseAddr(s)
		if err != nil || a != want.addr || a.HostPort() != want.dial || a.Name.String() != want.name {
			t.Errorf("ParseAddr(%s) = %+v, %v; dial %s, name %s; want %+v", s, a, err, a.HostPort(), a.Name, want)
		}
	}
	for _, s := range []string{"", "@", "1", "1@", "@h", "a b@h", "é@h", strings.Repeat("x", 65) + "@h", "1@h:", "1@h:0",
		"1@h:65536", "1@h:+1", "1@h:x", "1@::1", "1@[::1", "1@[h]", "1@[127.0.0.1]", "1@[::1]x", "1@[fe80::1%eth0]", "0@[::%[]", "1@-h", "1@h..h", "1@h h", "1@2@h",
		"1@" + strings.Repeat("h.", 130) + "h", strings.Repeat("@", 1000)} {
		if a, err := ParseAddr(s); err == nil {
			t.Errorf("ParseAddr(%q) = %+v, want an error", s, a)
		} else if len(err.Error()) > 250 || !strings.Contains(err.Error(), "NAME@HOST") {
			t.Errorf("ParseAddr(%q): error %q is long or gives no hint", s, err)
		}
	}
	if _, err := ParseName("1@h:5"); err == nil {
		t.Error("ParseName takes a port")
	}
}

// TestAddrOf reads where nodes are dialled: at HOST of their names, or elsewhere.
func TestAddrOf(t *testing.T) {
	name, six := Name{"1", "10.0.0.1"}, Name{"1", "::1"}
	for at, want := range map[string]Addr{
		"10.0.0.1:4371":       {Name: name, Port: 4371},
		"203.0.113.5:80":      {Name: name, Port: 80, At: "203.0.113.5"},
		"[2001:DB8:0::1]:443": {Name: name, Port: 443, At: "2001:db8::1"},
		"LB.Example:1":        {Name: name, Port: 1, At: "lb.example"},
	} {
		a, err := AddrOf(name, at)
		if err != nil || a != want || a.Name != name {
			t.Errorf("AddrOf(%s) = %+v, %v, want %+v", at, a, err, want)
		}
		if again, err := AddrOf(name, a.HostPort()); err != nil || again != a {
			t.Errorf("%s is written %s and read as %+v, %v", at, a.HostPort(), again, err)
		}
	}
	if a, err := AddrOf(six, "[0::1]:80"); err != nil || a.At != "" || a.HostPort() != "[::1]:80" {
		t.Errorf("AddrOf = %+v, %v", a, err)
	}
	for _, at := range []string{"", "h", ":80", "h:0", "h:x", "::1:80", "[::1]", "[fe80::1%eth0]:80", "a b:80", strings.Repeat("x", 300) + ":80"} {
		if a, err := AddrOf(name, at); err == nil || len(err.Error()) > 250 {
			t.Errorf("AddrOf(%q) = %+v, %v; want a short error", at, a, err)
		}
	}
}

// TestDefaultPort checks the rule of the ports: 4370 + NAME, or 20000 + FNV-1a-32(NAME)
// mod 10000.
func TestDefaultPort(t *testing.T) {
	for node, want := range map[string]int{
		"1": 4371, "999": 5369,
		"0": 20000 + 0x350ca8af%10000, "foobar": 20000 + 0xbf9cf968%10000, "a": 20000 + 0xe40c292c%10000,
	} {
		if got := (Name{node, "h"}).DefaultPort(); got != want {
			t.Errorf("port of %s = %d, want %d", node, got, want)
		}
	}
	for _, node := range []string{"0", "1000", "01", "-1", "99999999999999999999"} {
		if got := (Name{node, "h"}).DefaultPort(); got < 20000 || got > 29999 {
			t.Errorf("port of %s = %d, want one from 20000 to 29999", node, got)
		}
	}
}

func TestNameOrder(t *testing.T) {
	sorted := []Name{{"0", "b"}, {"2", "a"}, {"2", "b"}, {"10", "a"}, {"-1", "a"}, {"01", "a"}, {"99999999999999999999", "a"},
		{"A", "z"}, {"a", "a"}, {"a", "b"}}
	for range 100 {
		shuffled := slices.Clone(sorted)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		slices.SortFunc(shuffled, Name.Compare)
		if !slices.Equal(shuffled, sorted) {
			t.Fatalf("sorted as %v, want %v", shuffled, sorted)
		}
	}
}

func TestOwner(t *testing.T) {
	members := ringOf(Modulo, []Name{{"3", "h"}, {"1", "h"}, {"2", "h"}})
	for s, want := range map[string]string{"1": "2@h", "2": "3@h", "3": "1@h", "4": "2@h", "0": "1@h", "-1": "3@h", "-3": "1@h"} {
		id, _ := worker.ParseID(s)
		if got := members.Slot(members.Owner(id)).Name.String(); got != want {
			t.Errorf("owner of %s = %s, want %s", s, got, want)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"1@127.0.0.1", "a@[::1]:5", "1@h:70000", "@", "1@[fe80::1%eth0]", "01@x.y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddr(s)
		if err != nil {
			return
		}
		if port := a.DefaultPort(); port < 4371 || port > 29999 {
			t.Errorf("%q: port %d", s, port)
		}
		if again, err := ParseName(a.Name.String()); err != nil || again != a.Name {
			t.Errorf("%q is %+v, which is written %s and read as %+v, %v", s, a, a.Name, again, err)
		}
		if again, err := AddrOf(a.Name, a.HostPort()); err != nil || again.HostPort() != a.HostPort() {
			t.Errorf("%q listens on %s, which is read as %+v, %v", s, a.HostPort(), again, err)
		}
	})
}
