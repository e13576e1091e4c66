package gateway

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/distproc/distproc/wire"
)

// TestInvalidate removes the values of one id and of many.
func TestInvalidate(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]struct {
		asked []string
		body  string
	}{
		"/v1/value/7":                         {[]string{"invalidate - 7"}, `{"id":"7","kind":"default","invalidated":true}`},
		"/v1/value/8?kind=price":              {[]string{"invalidate price 8"}, `{"id":"8","kind":"price","invalidated":false}`},
		"/v1/value?id=7&id=a%2Fb&id=8&kind=p": {[]string{"invalidate p 7", "invalidate p 8", "invalidate p a/b"}, `{"kind":"p","ids":3,"invalidated":2}`},
	} {
		f := newFake()
		res := ask(t, newGateway(f), httptest.NewRequest(http.MethodDelete, target, nil))
		slices.Sort(f.asked)
		if res.status != http.StatusOK || res.body != want.body+"\n" || !slices.Equal(f.asked, want.asked) {
			t.Errorf("%s: %d %s, asked %q; want %s", target, res.status, res.body, f.asked, want.body)
		}
	}
	for _, target := range []string{"/v1/value", "/v1/value?id=", "/v1/value?id=7&kind=a&kind=b", "/v1/value/7?id=8"} {
		f := newFake()
		if res := ask(t, newGateway(f), httptest.NewRequest(http.MethodDelete, target, nil)); res.status != 400 || f.asked != nil {
			t.Errorf("%s: %d %s", target, res.status, res.body)
		}
	}
	f := newFake()
	f.err = &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun}
	wantProblem(t, ask(t, newGateway(f), httptest.NewRequest(http.MethodDelete, "/v1/value?id=7&id=8", nil)), 503, "unreachable")
}
