package editor

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHistory is how many entries are kept.
const maxHistory = 2000

// blockMark stands for a line end in a block, which go-prompt edits as one line.
const blockMark = "⏎"

// A history keeps typed lines and blocks, in memory and in a file that several shells may
// append to. The file has one entry per line, with   for a line end within an entry.
// Errors of writing are not reported, because the shell works without the file.
type history struct {
	path    string // empty: memory only
	entries []string
}

func openHistory(path string) *history {
	h := &history{path: path}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		h.path = "" // /dev/null keeps no history, and opening a pipe could block
	}
	if h.path == "" {
		return h
	}
	data, _ := os.ReadFile(path)
	h.entries = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(data) == 0 {
		h.entries = nil
	}
	if len(h.entries) > 2*maxHistory {
		h.trim()
	}
	h.entries = h.entries[max(0, len(h.entries)-maxHistory):]
	for i, line := range h.entries {
		h.entries[i] = unescape.Replace(line)
	}
	return h
}

var (
	escape   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)

// add appends an entry, unless it is empty or the last one again.
func (h *history) add(entry string) {
	entry = strings.TrimRight(entry, " \t\n")
	if n := len(h.entries); entry == "" || n > 0 && h.entries[n-1] == entry {
		return
	}
	h.entries = append(h.entries, entry)
	h.entries = h.entries[max(0, len(h.entries)-maxHistory):]
	_ = h.locked(func(f *os.File) error {
		_, err := f.WriteString(escape.Replace(entry) + "\n")
		return err
	})
}

// trim shortens the file to its last entries.
func (h *history) trim() {
	_ = h.locked(func(f *os.File) error {
		data, err := os.ReadFile(h.path)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		lines = lines[max(0, len(lines)-maxHistory):]
		if err := f.Truncate(0); err != nil {
			return err
		}
		_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
		return err
	})
}

// locked calls f with the file open for appending, while no other shell writes to it.
func (h *history) locked(f func(*os.File) error) error {
	if h.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(h.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	return f(file)
}

// lines returns the entries as go-prompt edits them.
func (h *history) lines() []string {
	lines := make([]string, len(h.entries))
	for i, entry := range h.entries {
		lines[i] = strings.ReplaceAll(entry, "\n", blockMark)
	}
	return lines
}
