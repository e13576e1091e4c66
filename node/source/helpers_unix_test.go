//go:build unix

package source

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A lifeline is a FIFO that a script holds open as its descriptor 3, and with it all
// processes that it starts. They may say something in it; its end is the end of the last
// of them. (A pid would tell less: a zombie has one, too.)
type lifeline struct {
	path  string
	lines chan string // closed at the end
}

func newLifeline(t *testing.T) *lifeline {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &lifeline{path: path, lines: make(chan string, 10)}
	go func() {
		defer close(l.lines)
		f, err := os.Open(path) // waits for the script
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	return l
}

// in puts the path of the FIFO into a script, for $LIFELINE.
func (l *lifeline) in(script string) string { return strings.ReplaceAll(script, "$LIFELINE", l.path) }

// next returns the next line, or [io.EOF] when all is over.
func (l *lifeline) next(t *testing.T) (string, error) {
	t.Helper()
	select {
	case line, ok := <-l.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-time.After(time.Minute):
		t.Fatal("the processes neither say something nor end")
		return "", nil
	}
}
