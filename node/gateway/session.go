package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxSessions = 1000           // of which the one that was not used for the longest time goes first
	sessionTime = 12 * time.Hour // from its begin
	sessionIdle = time.Hour      // without use
)

// A sessions holds the sessions of browsers whose users have shown the token. A browser
// proves its session by a cookie of 256 random bits, of which only the hash is kept.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // by the hash of the cookie; guarded by mu
}

// A session ends when its user says so, when another one needs its place, or by itself.
// Streams that it has opened end with it.
type session struct {
	csrf  string    // token that its actions must bear
	until time.Time // when it ends at the latest

	ctx context.Context // ends with the session, if that ends before its time
	end context.CancelFunc

	used    time.Time // guarded by sessions.mu
	streams int       // that are open; while there are any the session is in use; guarded by sessions.mu
}

func newSessions() *sessions { return &sessions{all: make(map[[sha256.Size]byte]*session)} }

// secret returns 256 random bits as text that fits a cookie, a header and an attribute.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// begin begins a session, and returns the value of its cookie.
func (l *sessions) begin() (cookie string) {
	cookie = secret()
	ctx, cancel := context.WithCancel(context.Background())
	now := time.Now()
	s := &session{csrf: secret(), until: now.Add(sessionTime), ctx: ctx, end: cancel, used: now}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweepLocked(now)
	if len(l.all) >= maxSessions {
		l.evictLocked()
	}
	l.all[sha256.Sum256([]byte(cookie))] = s
	return cookie
}

// sweepLocked forgets the sessions that are over.
func (l *sessions) sweepLocked(now time.Time) {
	for key, s := range l.all {
		if s.overLocked(now) {
			l.removeLocked(key)
		}
	}
}

// evictLocked ends the session that was not used for the longest time.
func (l *sessions) evictLocked() {
	var out [sha256.Size]byte
	var oldest *session
	for key, s := range l.all {
		if oldest == nil || s.goesBeforeLocked(oldest) {
			out, oldest = key, s
		}
	}
	l.removeLocked(out)
}

func (s *session) goesBeforeLocked(other *session) bool {
	if idle := s.streams == 0; idle != (other.streams == 0) {
		return idle
	}
	return s.used.Before(other.used)
}

func (l *sessions) removeLocked(key [sha256.Size]byte) {
	l.all[key].end()
	delete(l.all, key)
}

func (s *session) overLocked(now time.Time) bool {
	return !now.Before(s.until) || s.streams == 0 && now.Sub(s.used) >= sessionIdle
}

// of returns the session of a cookie, and notes that it is used. It returns nil if there is
// none. A browser may send several cookies of one name: of other paths, or set by another
// program on this host. One that is right is enough.
func (l *sessions) of(cookies []*http.Cookie) *session {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cookies {
		key := sha256.Sum256([]byte(c.Value))
		s := l.all[key]
		switch {
		case s == nil:
		case s.overLocked(now):
			l.removeLocked(key)
		default:
			s.used = now
			return s
		}
	}
	return nil
}

// drop ends the sessions of cookies.
func (l *sessions) drop(cookies []*http.Cookie) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cookies {
		if key := sha256.Sum256([]byte(c.Value)); l.all[key] != nil {
			l.removeLocked(key)
			dropped = true
		}
	}
	return dropped
}

var errSessionOver = errors.New("the session has ended; enter the token again")

// stream returns a context that ends with a session, with errSessionOver, and a function
// that the caller must call when the stream that uses the context has ended.
func (l *sessions) stream(ctx context.Context, s *session) (context.Context, func()) {
	l.use(s, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(errSessionOver) })
	ctx, expire := context.WithDeadlineCause(ctx, s.until, errSessionOver)
	return ctx, func() {
		expire()
		stop()
		cancel(nil)
		l.use(s, -1)
	}
}

// use counts an open stream of a session, or one that has ended.
func (l *sessions) use(s *session, streams int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.streams += streams
	s.used = time.Now()
}

// cookiesOf returns the cookies of a request that may be those of a session.
func cookiesOf(r *http.Request) []*http.Cookie {
	if len(r.Header["Cookie"]) == 0 {
		return nil
	}
	return r.CookiesNamed(cookieName(r))
}

// cookieName returns the name of the session's cookie. A browser sends its cookies to all
// ports of a host, so that the name has the port.
func cookieName(r *http.Request) string {
	const name = "distproc"
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return name
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return name
	}
	return name + "-" + strconv.FormatUint(n, 10)
}

// setCookie has the browser keep the cookie of a session, or forget it if the value is
// empty. Without a path it belongs to the folder of the page, whatever prefix a proxy has
// given it: that is the folder of /session and that of /, where it is set.
func (x *exchange) setCookie(value string) {
	c := http.Cookie{Name: cookieName(x.r), Value: value, HttpOnly: true, Secure: secured(x.r), SameSite: http.SameSiteStrictMode}
	if value == "" {
		c.MaxAge = -1
	}
	x.set("Set-Cookie", c.String())
}

// secured reports whether the browser has asked by HTTPS, as a proxy in front says. If that
// is not true, the browser does not send the cookie back.
func secured(r *http.Request) bool {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https")
}
