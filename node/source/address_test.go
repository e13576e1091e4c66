package source

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, id, want string }{
		{"http://h/p/{id}", "7", "http://h/p/7"},
		{"http://h/p/{id}", "-7", "http://h/p/-7"},
		{"http://h/p/{id}/x", "a/b?c#d", "http://h/p/a%2Fb%3Fc%23d/x"},
		{"http://h/p/{id}", "%2F", "http://h/p/%252F"},
		{"http://h/p/{id}", "a b+c", "http://h/p/a%20b+c"},
		{"http://h/p/{id}", "é\xff\x00\n", "http://h/p/%C3%A9%FF%00%0A"},
		{"http://h/p/{id}", `\x`, "http://h/p/%5Cx"},
		{"http://h/p/{id}", "...", "http://h/p/..."},
		{"http://h/p/{id}", "{id}", "http://h/p/%7Bid%7D"},
		{"http://h/p/{id}.json", "a..b", "http://h/p/a..b.json"},
		{"http://h/{id}", "/evil.example/", "http://h/%2Fevil.example%2F"},
		{"http://h/{id}{id}", "a", "http://h/aa"},
		{"http://h?q={id}", "a b+c&d=e#f/../é%2F;", "http://h?q=a+b%2Bc%26d%3De%23f%2F..%2F%C3%A9%252F%3B"},
		{"http://h/?q={id}", "", "http://h/?q="},
		{"http://h/?q={id}", "..", "http://h/?q=.."},
		{"http://h/{id}?q={id}&{id}=x", "a/b c", "http://h/a%2Fb%20c?q=a%2Fb+c&a%2Fb+c=x"},
		{"http://h/a?b?c={id}", "?", "http://h/a?b?c=%3F"},
		{"https://u:p@[::1]:8443/a%2Fb/{id}", "x", "https://u:p@[::1]:8443/a%2Fb/x"},
		// Without our encoding, net/url would encode the path anew and lose that of the
		// id.
		{"http://h/prix é\"^/{id}?q=a b", "a/b", "http://h/prix%20%C3%A9%22%5E/a%2Fb?q=a%20b"},
		{"http://h", "x", "http://h"},
	} {
		a, err := parseAddress(c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got, err := a.with(c.id); err != nil || got != c.want {
			t.Errorf("%s with %q: %s, %v, want %s", c.address, c.id, got, err, c.want)
		}
	}
}

func TestAddressRefusesIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, id string }{
		{"http://h/p/{id}", ""},
		{"http://h/p/{id}/x", ""},
		{"http://h/p/{id}", "."},
		{"http://h/p/{id}", ".."},
		{"http://h/p/{id}/x", ".."},
		{"http://h/p/.{id}", "."},
		{"http://h/p/{id}.", "."},
		{"http://h/p/%2E{id}", "."},
		{"http://h/p/{id}{id}", "."},
		{"http://h/p/{id}", "../x"},
		{"http://h/p/{id}", "a/.."},
		{"http://h/p/{id}", `a\..\x`},
		{"http://h/p/{id}", "..;x"},
		{"http://h/p/{id}?q={id}", "/./"},
	} {
		a, err := parseAddress(c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if got, err := a.with(c.id); err == nil || !strings.HasPrefix(err.Error(), "not asked: ") {
			t.Errorf("%s with %q: %s, %v", c.address, c.id, got, err)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"http://h/a", "http://H:80/b", true},
		{"https://h:443", "https://h/", true},
		{"http://[::1]:8080", "http://[::1]:8080/", true},
		{"http://h", "https://h", false},
		{"http://h:80", "https://h:80", false},
		{"http://h:81", "http://h", false},
		{"http://h", "http://h.example", false},
	} {
		a, errA := url.Parse(c.a)
		b, errB := url.Parse(c.b)
		if errA != nil || errB != nil || sameOrigin(a, b) != c.same || sameOrigin(b, a) != c.same {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.same)
		}
	}
}

// Whatever the address and the id, the id stays where it was put.
func FuzzAddress(f *testing.F) {
	for _, tail := range []string{"/{id}", "/a/{id}/b", "/a b/{id}", "/é{id}.x?{id}={id}", "?q={id}&r=1", "/%2e/{id}", "/%{id}", "/;{id}/"} {
		for _, id := range []string{"7", "a/b", "..", ".", "", "%2F", "2F", "?x#y&z=;", "\xff\x00 ", "é", `\..\`, "{id}"} {
			f.Add(tail, id)
		}
	}
	f.Fuzz(func(t *testing.T, tail, id string) {
		if tail != "" && tail[0] != '/' && tail[0] != '?' {
			return // part of the host
		}
		a, err := parseAddress("http://user@host.example:81" + tail)
		if err != nil {
			return
		}
		got, err := a.with(id)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if u.Scheme != "http" || u.Host != "host.example:81" || u.User.String() != "user" || u.Fragment != "" || u.Opaque != "" {
			t.Fatalf("%s: it leads elsewhere: %#v", got, u)
		}
		want := got[len("http://user@host.example:81"):]
		if u.Path == "" {
			want = "/" + want
		}
		if u.RequestURI() != want {
			t.Fatalf("%s: sent is %s", got, u.RequestURI())
		}
		if strings.ContainsFunc(u.RequestURI(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q breaks the request line", u.RequestURI())
		}
		path, query, _ := strings.Cut(tail, "?")
		checkSegments(t, path, id, u)
		if written := strings.ReplaceAll(query, placeholder, "id"); !slices.Equal(counts(u.RawQuery), counts(written)) {
			t.Fatalf("%s: other parameters than of %s", got, written)
		}
	})
}

// checkSegments expects that each segment of u means what the template's does with the id
// in it.
func checkSegments(t *testing.T, template, id string, u *url.URL) {
	t.Helper()
	want := strings.Split(template, "/")
	got := strings.Split(u.EscapedPath(), "/")
	if len(got) != len(want) {
		t.Fatalf("%s: %d segments, template %q has %d", u, len(got), template, len(want))
	}
	for i, segment := range got {
		text, err := url.PathUnescape(segment)
		parts := strings.Split(want[i], placeholder)
		for j := range parts {
			parts[j], _ = url.PathUnescape(parts[j])
		}
		if err != nil || text != strings.Join(parts, id) || text == "." || text == ".." {
			t.Fatalf("%s: segment %q, %v, of %q with %q", u, text, err, want[i], id)
		}
	}
}

// counts returns how many there are of what splits a query.
func counts(query string) []int {
	return []int{strings.Count(query, "&"), strings.Count(query, ";"), strings.Count(query, "=")}
}
