package gateway

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/wire/text"
)

const (
	maxTimeout   = time.Minute // of one request
	defaultLimit = 100         // workers in one answer
	maxLimit     = 1000
)

// read reads the query. An unknown parameter is an error, so that a misspelled one is not
// ignored.
func (x *exchange) read() (err error) {
	if !x.route.body && x.r.ContentLength != 0 {
		return badRequest("%s takes no body", x.r.Method)
	}
	if x.query, err = parseQuery(x.r.URL.RawQuery, x.route.query); err != nil {
		return err
	}
	if kind := x.query.Get("kind"); kind != "" {
		if x.kind, err = kindNamed(kind); err != nil {
			return err
		}
	}
	if x.query.Has("timeout") {
		x.timeout, err = parseTimeout(x.query.Get("timeout"))
	}
	return err
}

func parseQuery(raw string, known []string) (url.Values, error) {
	if raw == "" {
		return nil, nil
	}
	if hasToken(raw) && !slices.Contains(known, "token") {
		return nil, tokenInAddress()
	}
	if slices.Equal(known, anyQuery) {
		return nil, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("query: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, badRequest("unknown query parameter %s; there are none here", text.Quote(name))
		case !slices.Contains(known, name):
			return nil, badRequest("unknown query parameter %s; there are %s", text.Quote(name), strings.Join(known, ", "))
		case len(query[name]) > 1 && name != "id": // of which there may be many
			return nil, badRequest("query parameter %s is given more than once", name)
		}
	}
	return query, nil
}

func parseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, badRequest("timeout %s: say a duration of at most 1m, such as 500ms or 2s", text.Quote(s))
	}
	return d, nil
}

// flag returns a boolean parameter. The default is false.
func (x *exchange) flag(name string) (bool, error) {
	switch s := x.query.Get(name); {
	case s == "true":
		return true, nil
	case s == "false" || !x.query.Has(name):
		return false, nil
	default:
		return false, badRequest("%s %s: say true or false", name, text.Quote(s))
	}
}

// limit returns the parameter limit.
func (x *exchange) limit() (int, error) {
	if !x.query.Has("limit") {
		return defaultLimit, nil
	}
	s := x.query.Get("limit")
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxLimit {
		return 0, badRequest("limit %s: say a number from 1 to %d", text.Quote(s), maxLimit)
	}
	return int(n), nil
}
