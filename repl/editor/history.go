package editor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxHistory      = 2000    // entries that are kept
	maxHistoryBytes = 1 << 20 // their bytes, and what is read of the file
	maxEntry        = 64 << 10
)

// A history keeps typed lines and blocks, in memory and in a file that several shells may
// append to. The file has one entry per line, with \n for a line end within an entry.
//
// Nothing waits for the file: an entry that cannot be written, as somebody holds the
// file's lock, is written with the next one. Other errors of writing are not reported,
// because the shell works without the file.
type history struct {
	path    string // empty: memory only
	entries []string
	unsaved []string // entries that wait for the lock of the file
	private bool     // entries are kept in memory only, for now
	problem string   // why there is no file, for the user
}

func openHistory(path string) *history {
	h := &history{path: path}
	if path == "" {
		return h
	}
	f, err := h.open(os.O_RDONLY)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return h
	case err != nil:
		h.path = ""
		if !errors.Is(err, errNoHistory) {
			h.problem = fmt.Sprintf("the history is kept in memory only: %v", err)
		}
		return h
	}
	defer f.Close()
	data, size := tail(f)
	h.entries = splitHistory(data)
	if size > maxHistoryBytes || len(h.entries) > 2*maxHistory {
		h.trim()
	}
	h.entries = h.entries[max(0, len(h.entries)-maxHistory):]
	for i, line := range h.entries {
		h.entries[i] = clean(unescape.Replace(line))
	}
	return h
}

// errNoHistory means a file that keeps nothing, such as /dev/null.
var errNoHistory = errors.New("no file")

// open opens the file, if it is a regular one. It waits for nothing, and follows no link
// at the end of the path, which may lead to a file that others have chosen.
func (h *history) open(flags int) (*os.File, error) {
	f, err := os.OpenFile(h.path, flags|noFollow, 0o600)
	if isLink(err) {
		return nil, fmt.Errorf("%s is a link", h.path)
	} else if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoHistory
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// tail returns the end of a file, and the size of the file.
func tail(f *os.File) (data []byte, size int64) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0
	}
	size = info.Size()
	begin := max(size-maxHistoryBytes, 0)
	data, _ = io.ReadAll(io.NewSectionReader(f, begin, maxHistoryBytes))
	if begin > 0 { // in the middle of a line
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	return data, size
}

func splitHistory(data []byte) []string {
	if len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

var (
	escape   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)

// clean removes from an entry of the file what cannot be typed.
func clean(entry string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r != '\n' && r != '\t' && unicode.IsControl(r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, entry)
}

// add appends an entry, unless it is empty, the last one again, very long, or begins with
// a space.
func (h *history) add(entry string) {
	entry = strings.TrimRight(entry, " \t\n")
	n := len(h.entries)
	if entry == "" || entry[0] == ' ' || len(entry) > maxEntry || n > 0 && h.entries[n-1] == entry {
		return
	}
	h.entries = append(h.entries, entry)
	h.entries = h.entries[max(0, n+1-maxHistory):]
	bytes := 0
	for i, entry := range slices.Backward(h.entries) {
		if bytes += len(entry); bytes > maxHistoryBytes {
			h.entries = h.entries[i+1:]
			break
		}
	}
	if h.path == "" || h.private {
		return
	}
	patience := 1
	if len(h.unsaved) == 0 { // nobody is known to hold the lock for long
		patience = lockTries
	}
	h.unsaved = append(h.unsaved, escape.Replace(entry)+"\n")
	h.unsaved = h.unsaved[max(0, len(h.unsaved)-maxHistory):]
	h.save(patience)
}

// save appends the entries that are not in the file. It tries so many times to lock it.
func (h *history) save(tries int) {
	if h.path == "" || len(h.unsaved) == 0 {
		return
	}
	err := h.locked(tries, os.O_CREATE|os.O_APPEND|os.O_RDWR, func(f *os.File) error {
		text := strings.Join(h.unsaved, "")
		if info, err := f.Stat(); err == nil && info.Size() > 0 {
			var last [1]byte
			if _, err := f.ReadAt(last[:], info.Size()-1); err == nil && last[0] != '\n' {
				text = "\n" + text // somebody has left a line without its end
			}
		}
		_, err := f.WriteString(text)
		return err
	})
	if !errors.Is(err, errLocked) {
		h.unsaved = nil
	}
}

// trim replaces the file by one with its last entries.
func (h *history) trim() {
	_ = h.locked(lockTries, os.O_RDONLY, func(f *os.File) error {
		data, _ := tail(f)
		lines := splitHistory(data)
		lines = lines[max(0, len(lines)-maxHistory):]
		short, err := os.CreateTemp(filepath.Dir(h.path), ".history-*") // mode 0600
		if err != nil {
			return err
		}
		_, err = short.WriteString(strings.Join(lines, "\n") + "\n")
		if err = errors.Join(err, short.Close()); err == nil {
			err = os.Rename(short.Name(), h.path)
		}
		if err != nil {
			os.Remove(short.Name())
		}
		return err
	})
}

// lockTries is how often the lock of the file is tried, a millisecond apart, before it is
// left for later.
const lockTries = 50

// locked calls f with the file, while no other shell writes to it or replaces it. If
// somebody holds the lock at all of the tries, it returns errLocked.
func (h *history) locked(tries, flags int, f func(*os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	for range tries {
		file, err := h.open(flags)
		if err != nil {
			return err
		}
		err = lock(file)
		if err == nil && h.isCurrent(file) {
			defer file.Close()
			return f(file)
		}
		file.Close()
		if err != nil && !errors.Is(err, errLocked) {
			return err
		}
		time.Sleep(time.Millisecond) // another shell is done soon
	}
	return errLocked
}

// errLocked means that another process holds the lock of the file.
var errLocked = errors.New("the file is locked")

// isCurrent reports whether a file has not been replaced since it was opened.
func (h *history) isCurrent(f *os.File) bool {
	mine, err1 := f.Stat()
	current, err2 := os.Lstat(h.path)
	return err1 == nil && err2 == nil && os.SameFile(mine, current)
}

// lines returns the entries as go-prompt edits them.
func (h *history) lines() []string {
	lines := make([]string, len(h.entries))
	for i, entry := range h.entries {
		lines[i] = strings.ReplaceAll(entry, "\n", blockMark)
	}
	return lines
}
