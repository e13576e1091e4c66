package editor

import "testing"

func TestSearchFind(t *testing.T) {
	t.Parallel()
	s := &search{entries: []string{"a", "ab", "b", "ab"}, at: 4}
	for _, step := range []struct {
		key, want string
		ok        bool
	}{{"a", "ab", true}, {"\x12", "ab", true}, {"\x12", "a", true}, {"\x12", "a", true}, {"b", "a", true}, {"\x7f", "ab", true}, {"\x7f", "", true}, {"\x7f", "", true}, {" ", "ab", true}, {"\x1b[A", "ab", false}, {"\r", "ab", false}} {
		ok := s.key(step.key)
		got, _ := s.found()
		if got != step.want || ok != step.ok {
			t.Errorf("%q: %q %v, want %q", step.key, got, ok, step.want)
		}
	}
}
