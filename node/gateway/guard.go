package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard returns why a request must not be let in, or nil.
func (g *Gateway) guard(r *http.Request) *problem {
	if g.config.LoopbackOnly && !g.known(r.Host) {
		return newProblem(http.StatusMisdirectedRequest, "foreign host",
			"host %s: this gateway answers to localhost and 127.0.0.1 only; use one of these in the address", clipped(r.Host))
	}
	if path := r.URL.Path; path != "/healthz" && path != "/readyz" && !g.authorized(r) {
		p := newProblem(http.StatusUnauthorized, "unauthorized",
			"send the header Authorization: Bearer TOKEN, with the token of this gateway")
		p.header.Set("WWW-Authenticate", `Bearer realm="distproc"`)
		return p
	}
	if err := g.cross.Check(r); err != nil || crossSite(r) {
		return newProblem(http.StatusForbidden, "cross origin",
			"a page of another site asks; this gateway answers programs, and pages of its own origin")
	}
	return nil
}

// refused logs a request that is not let in, once a minute for each host and reason.
func (g *Gateway) refused(r *http.Request, why *problem) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if leftOut, ok := g.refusals.Allow(host + " " + why.Title); ok {
		g.log.Warn("request refused", append([]any{"from", r.RemoteAddr, "why", why.Title}, leftOut...)...)
	}
}

// known reports whether a Host is one under which a gateway on loopback is known. Another name that leads here is that of a
// page in a browser, which had it resolved to this machine (DNS rebinding). Browsers always send one, so none will do.
func (g *Gateway) known(host string) bool {
	name := hostname(host)
	return name == "" || loopbackName(name) ||
		slices.ContainsFunc(g.config.Hosts, func(h string) bool { return hostname(h) == name })
}

// hostname returns the name of HOST or HOST:PORT, in lower case and without the dot of the root.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else if strings.HasPrefix(host, "[") {
		host = strings.TrimSuffix(host[1:], "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// loopbackName reports whether a host is this machine, whatever a name server says (RFC 6761, section 6.3).
func loopbackName(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// authorized reports whether the request bears the token, if one is needed. What is compared are hashes, so that the time
// tells nothing of the token, its length included.
func (g *Gateway) authorized(r *http.Request) bool {
	if g.config.Token == "" {
		return true
	}
	given := r.Header["Authorization"]
	if len(given) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

// crossSite reports whether a page of another site asks by script or picture, which [http.CrossOriginProtection] lets pass for
// GET. Even if that page cannot read the answer, its question runs a source here. To follow a link is fine.
func crossSite(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}
