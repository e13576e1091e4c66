//go:build !unix

package editor

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// A tty does not exist on this system, because package editor knows the terminals of Unix
// only: [Open] fails, and no method is called.
type tty struct {
	out   *os.File
	dumb  bool
	stops chan os.Signal
}

func newTTY(_, _ *os.File, _ bool) (*tty, error) {
	return nil, fmt.Errorf("edit lines at this terminal: %w", errors.ErrUnsupported)
}

func (t *tty) set(ttyMode) error              { return errors.ErrUnsupported }
func (t *tty) close()                         {}
func (t *tty) watchStops()                    {}
func (t *tty) suspend()                       {}
func (t *tty) size() (rows, cols int)         { return 24, 80 }
func (t *tty) wait(time.Duration)             {}
func (t *tty) waiting() int                   { return 0 }
func (t *tty) gone() bool                     { return true }
func (t *tty) is(ttyMode) bool                { return false }
func (t *tty) read(buf []byte) ([]byte, bool) { return buf, true }
