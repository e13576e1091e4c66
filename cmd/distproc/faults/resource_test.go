//go:build unix

package faults

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/distproc/distproc/node/worker"
)

// newResource returns a resource whose record nobody reads.
func newResource(t *testing.T, meets bool) *resource {
	file, err := os.Create(filepath.Join(t.TempDir(), "record"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &resource{recorder: &recorder{file: file}, meets: meets, cells: map[strictKey]*cell{}}
}

// TestResource writes with tokens, of which the resource refuses an older one.
func TestResource(t *testing.T) {
	t.Parallel()
	s := newResource(t, false)
	k := strictKey{counterKind, 7}
	for _, test := range []struct {
		value  int64
		token  worker.Token
		accept bool
	}{
		{1, worker.Token{Epoch: 2, Count: 5}, true},
		{2, worker.Token{Epoch: 2, Count: 5}, true}, // by the same run
		{3, worker.Token{Epoch: 2, Count: 4}, false},
		{4, worker.Token{Epoch: 1, Count: 9}, false},
		{5, worker.Token{Epoch: 3, Count: 1}, true},
	} {
		before := s.read(k)
		if got := s.write(k, test.value, test.value, test.token); got != test.accept {
			t.Errorf("token %v accepted: %v, want %v", test.token, got, test.accept)
		}
		want := before
		if test.accept {
			want = test.value
		}
		if got := s.read(k); got != want {
			t.Errorf("after token %v the number is %d, want %d", test.token, got, want)
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/counter/7", nil)
	r.Header.Set("X-Distproc-Token", "7")
	if s.serveRun(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("status %d for what is no token, want %d", w.Code, http.StatusBadRequest)
	}
}

// TestResourceMeets has two reads meet: each gets the number before the other one writes.
func TestResourceMeets(t *testing.T) {
	t.Parallel()
	s := newResource(t, true)
	k := strictKey{looseKind, 7}
	values := make(chan int64)
	for range 2 {
		go func() {
			value := s.read(k)
			s.write(k, 1, value+1, worker.Token{})
			values <- value
		}()
	}
	if a, b := <-values, <-values; a != 0 || b != 0 {
		t.Errorf("the reads got %d and %d, want 0 twice", a, b)
	}
}
