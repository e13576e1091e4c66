package repl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.starlark.net/starlark"
)

// A journal keeps the inputs of a session that worked, as they were typed.
type journal struct {
	inputs []string
	bytes  int
	full   bool // there were more than load can run
	skip   bool // the running input is not to be kept
}

// add keeps an input that has worked.
func (j *journal) add(c *chunk) {
	text := strings.TrimRight(strings.Join(c.lines, "\n"), " \t\n")
	if j.skip || text == "" {
		return
	}
	if j.full = j.full || j.bytes+len(text)+1 > maxSource; j.full {
		return
	}
	j.inputs, j.bytes = append(j.inputs, text), j.bytes+len(text)+1
}

// save writes what was typed and worked to a file that load runs.
func (sh *Shell) save(r *request) (starlark.Value, error) {
	var path string
	var force bool
	if err := r.unpack("file", &path, "force?", &force); err != nil {
		return nil, err
	}
	sh.typed.skip = true
	var err error
	switch j := &sh.typed; {
	case j.full:
		err = fmt.Errorf("more than %d MiB was typed, which load could not run", maxSource>>20)
	case len(j.inputs) == 0:
		err = errors.New("nothing was typed yet that worked")
	default:
		err = writeNew(path, strings.Join(j.inputs, "\n")+"\n", force)
	}
	if err != nil {
		return nil, fmt.Errorf("save: %w", err)
	}
	notice := fmt.Sprintf("(%s in %s; load(%q) runs what is in it)", counted(len(sh.typed.inputs), "input", "inputs"), printable(path), path)
	sh.println(folded(notice, sh.cols(), 0, 1, plain))
	return starlark.None, nil
}

// writeNew writes a file that only the user can read, as what was typed may be secret. It
// replaces a regular file only by force, and then as a whole or not at all.
func writeNew(path, text string, force bool) (err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case err == nil && !force:
		return fmt.Errorf("%s exists; force=True replaces it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".distproc-*") // mode 0600
	if err != nil {
		return ofPath(err, path)
	}
	defer os.Remove(f.Name()) // what Rename and Link leave
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return ofPath(err, path)
	}
	if force {
		return ofPath(os.Rename(f.Name(), path), path)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) { // made meanwhile
		return fmt.Errorf("%s exists; force=True replaces it", path)
	} else if err != nil { // a file system without links
		return ofPath(os.Rename(f.Name(), path), path)
	}
	return nil
}

// ofPath returns an error of a file as one of the path that the user named.
func ofPath(err error, path string) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file):
		return fmt.Errorf("%s: %w", path, file.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", path, link.Err)
	}
	return err
}
