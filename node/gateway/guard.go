package gateway

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/distproc/distproc/wire/text"
)

// guard returns the reason to refuse a request, or nil.
func (g *Gateway) guard(r *http.Request) *problem {
	if g.config.LoopbackOnly && !g.known(r.Host) {
		return newProblem(http.StatusMisdirectedRequest, "foreign host",
			"host %s: this gateway answers to localhost and 127.0.0.1 only; use one of these in the address", text.Quote(r.Host))
	}
	return nil
}

// admit returns the reason to refuse a request without the token, or nil. Everybody may
// have the form that asks for the token, and what it needs. The session of a browser is
// for the page, and for what runs nothing. Found is what x.find has returned.
func (g *Gateway) admit(x *exchange, found error) *problem {
	if cookies := cookiesOf(x.r); cookies != nil && (x.route == nil || x.route.forSessions()) {
		x.session = g.sessions.of(cookies)
	}
	x.strange = x.session == nil
	if !x.strange || found == nil && x.route.open {
		return nil
	}
	p := unauthorizedProblem(x.r)
	if found == nil && !x.route.forSessions() && len(cookiesOf(x.r)) > 0 {
		p.Detail += "; the session of a browser is for the page, and for what runs nothing"
	}
	return p
}

const challenge = `Bearer realm="distproc"`

func unauthorizedProblem(r *http.Request) *problem {
	p := newProblem(http.StatusUnauthorized, "unauthorized",
		"send the header Authorization: Bearer TOKEN, with the token of this gateway")
	if hasToken(r.URL.RawQuery) {
		p.Detail += "; a token is no part of an address, because histories and logs keep these"
	}
	p.header.Set("WWW-Authenticate", challenge)
	return p
}

// refuse logs that a request is refused, and returns why.
func (g *Gateway) refuse(x *exchange, why *problem) error {
	g.refused(x.r, why)
	return why
}

// refused logs a refused request, once a minute for each host and reason.
func (g *Gateway) refused(r *http.Request, why *problem) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if leftOut, ok := g.refusals.Allow(host + " " + why.Title); ok {
		g.log.Warn("request refused", append([]any{"from", r.RemoteAddr, "why", why.Title}, leftOut...)...)
	}
}

// isHealth reports whether the request asks for health, which needs no token.
func isHealth(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/readyz" }

// known reports whether a gateway on loopback accepts a Host header. Any other name means
// that a web page made a browser resolve its name to this machine (DNS rebinding). An
// empty Host is accepted, because browsers always send one.
func (g *Gateway) known(host string) bool {
	name := hostname(host)
	return name == "" || loopbackName(name) ||
		slices.ContainsFunc(g.config.Hosts, func(h string) bool { return hostname(h) == name })
}

// hostname returns the name of HOST or HOST:PORT, in lower case and without the dot of
// the root.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if strings.HasPrefix(host, "[") {
		host = strings.TrimSuffix(host[1:], "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// loopbackName reports whether a host is this machine, whatever a name server says (RFC
// 6761, section 6.3).
func loopbackName(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// authorized reports whether the request bears the token, if one is needed. It compares
// hashes, so that the time taken reveals nothing about the token or its length.
func (g *Gateway) authorized(r *http.Request) bool {
	if g.config.Token == "" {
		return true
	}
	given := r.Header["Authorization"]
	if len(given) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	return strings.EqualFold(scheme, "Bearer") && g.isToken(token)
}

func (g *Gateway) isToken(s string) bool {
	sum := sha256.Sum256([]byte(strings.TrimSpace(s)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// foreign reports whether a page of another origin makes the request and must be refused.
// The page cannot read the answer, but the request may run a source. A link to an
// endpoint that runs nothing is accepted. Browsers send Sec-Fetch-Site to loopback and
// over HTTPS; elsewhere they send an Origin or a Referer, unless the page forbids the
// latter.
func (x *exchange) foreign() bool {
	h := x.r.Header
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // none: the user typed the address
		return false
	case "":
		origin := cmp.Or(h.Get("Origin"), h.Get("Referer"))
		if origin == "" || !x.route.runs {
			return false
		}
		u, err := url.Parse(origin)
		return err != nil || !strings.EqualFold(u.Host, x.r.Host)
	}
	link := h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document"
	return x.route.runs || !link
}
