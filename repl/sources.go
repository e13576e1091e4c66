package repl

import "fmt"

// Bounds of the inputs and files that a shell keeps to show where they fail.
const (
	maxSources     = 1000
	maxSourceBytes = 16 << 20
)

// sources has the inputs and files that ran, by name.
type sources struct {
	chunks map[string]*chunk
	names  []string // the oldest first
	bytes  int
}

// inputName is what errors call the input at prompt n of a terminal.
func inputName(n int) string { return fmt.Sprintf("[%d]", n) }

// keep adds a chunk, in the place of one of the same name. The oldest ones go if there
// are too many.
func (s *sources) keep(c *chunk) {
	if s.chunks == nil {
		s.chunks = make(map[string]*chunk)
	}
	if old := s.chunks[c.name]; old == nil {
		s.names = append(s.names, c.name)
	} else {
		s.bytes -= old.size()
	}
	s.chunks[c.name] = c
	for s.bytes += c.size(); len(s.names) > 1 && (len(s.names) > maxSources || s.bytes > maxSourceBytes); s.names = s.names[1:] {
		s.bytes -= s.chunks[s.names[0]].size()
		delete(s.chunks, s.names[0])
	}
}

func (s *sources) get(name string) *chunk { return s.chunks[name] }

func (c *chunk) size() (n int) {
	for _, line := range c.lines {
		n += len(line)
	}
	return n
}
