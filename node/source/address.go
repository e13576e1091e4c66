package source

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// An address is an http(s) URL with placeholders for an id. It is kept as text, so that
// it is sent as the user wrote it. An id adds only characters without a meaning in URLs.
type address struct {
	origin string   // scheme://user@host:port
	path   []string // the texts between the placeholders of the path
	query  []string // the same of the query, which begins with ? unless it is empty
}

func parseAddress(s string) (*address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return nil, errors.New("an address begins with http:// or https://")
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	a := &address{origin: scheme + "://" + rest[:end]}
	if strings.Contains(a.origin, placeholder) {
		return nil, errors.New("an id cannot choose the host: {id} may stand in the path and the query only")
	}
	u, err := url.Parse(a.origin)
	if err != nil {
		return nil, plain(err)
	}
	if u.Hostname() == "" {
		return nil, errors.New("the address names no host")
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	if len(path) < len(rest[end:]) {
		query = "?" + query
	}
	if strings.Contains(rest[end:], "#") {
		return nil, errors.New("the part after # is never sent: leave it out, or write %23")
	}
	if a.path, err = literals(path, url.PathUnescape); err != nil {
		return nil, err
	}
	if a.query, err = literals(query, url.QueryUnescape); err != nil {
		return nil, err
	}
	if hasDots(strings.Join(a.path, "id")) {
		return nil, errors.New("leave out the . and .. of its path")
	}
	return a, nil
}

// literals returns the texts around the placeholders in a part of an address.
func literals(part string, unescape func(string) (string, error)) ([]string, error) {
	texts := strings.Split(part, placeholder)
	for i, text := range texts {
		if strings.ContainsAny(text, "{}") {
			return nil, errors.New("only {id} is replaced: write %7B and %7D for other braces")
		}
		// An id could complete an incomplete escape.
		if _, err := unescape(text); err != nil {
			return nil, fmt.Errorf("%w: write %%25 for a percent sign", err)
		}
		texts[i] = encode(text)
	}
	return texts, nil
}

// encode writes characters that are not allowed in a URL as %XX. Because of one such
// character, net/url would encode the whole path anew from its decoded form, where a
// slash in an id looks like any other.
func encode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// with returns the URL for an id.
func (a *address) with(id string) (string, error) {
	path := strings.Join(a.path, url.PathEscape(id))
	if len(a.path) > 1 {
		switch {
		case id == "":
			return "", errors.New("not asked: an empty id is no part of a path")
		case hasDots(path):
			return "", fmt.Errorf("not asked: a server could take id %q for another path", id)
		}
	}
	return a.origin + path + strings.Join(a.query, url.QueryEscape(id)), nil
}

// hasDots reports whether a server could find a segment "." or ".." in the path. Some
// servers decode the path first, treat \ as /, or drop the text after a semicolon.
func hasDots(path string) bool {
	decoded, err := url.PathUnescape(path)
	segments := strings.FieldsFunc(decoded, func(r rune) bool { return strings.ContainsRune(`/\;`, r) })
	return err != nil || slices.Contains(segments, ".") || slices.Contains(segments, "..")
}

// sameOrigin reports whether two URLs have the same scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// plain removes the URL from an error of net/url or net/http, because it may contain a
// password or a token.
func plain(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
