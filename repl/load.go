package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"go.starlark.net/starlark"
)

// maxLoads is how deep files may load each other.
const maxLoads = 32

func (sh *Shell) load(r *request) (starlark.Value, error) {
	var path string
	if len(r.args) > 1 || len(r.kw) > 0 {
		return nil, errors.New(`load: takes a file only, such as "tools.star"; all its variables stay`)
	}
	if err := r.unpack("file", &path); err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(sh.loading, path):
		return nil, fmt.Errorf("load: %s loads itself", path)
	case len(sh.loading) == maxLoads:
		return nil, fmt.Errorf("load: %d files load each other", maxLoads)
	}
	data, err := readSource(path, checkWritable)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	c, err := sh.parseQuiet(path, data)
	if err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			return nil, err
		}
		return nil, fmt.Errorf("load: %w", err)
	}
	sh.loading = append(sh.loading, path)
	defer func() { sh.loading = sh.loading[:len(sh.loading)-1] }()
	return starlark.None, sh.runChunk(r.thread, c)
}

// readSource reads a regular file that check does not refuse, up to more bytes than a
// program may have. It checks the very file that it reads.
func readSource(path string, check func(path string, info fs.FileInfo) error) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for a writer
	if err != nil {
		return nil, ofPath(err, path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, ofPath(err, path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: no regular file", path)
	}
	if err := check(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	return data, ofPath(err, path)
}

// parseQuiet parses a file that runs in the shell and shows no values.
func (sh *Shell) parseQuiet(path string, data []byte) (*chunk, error) {
	c, err := parseProgram(path, bytes.NewReader(data))
	if c != nil {
		c.quiet = true
		sh.sources.keep(c)
	}
	return c, err
}

// loads reports whether a program may load a file. The names in the file are known only
// after that.
func (c *chunk) loads() bool {
	return slices.ContainsFunc(c.lines, func(line string) bool { return strings.Contains(line, loadName) })
}

// runInit runs the files of Config.Init. It shows their errors and goes on.
func (sh *Shell) runInit(ctx context.Context, show func(error, *chunk)) error {
	for _, path := range sh.cfg.Init {
		data, err := readSource(path, sh.checkInit)
		switch {
		case err == nil:
			if err := sh.runFile(ctx, path, data, show); err != nil {
				return err
			}
		case !errors.Is(err, fs.ErrNotExist) || sh.cfg.InitAlways:
			show(err, nil)
		}
	}
	return nil
}

// runFile runs a file before the first prompt. It shows an error and returns nil, unless
// the file leaves the shell or ctx ends.
func (sh *Shell) runFile(ctx context.Context, path string, data []byte, show func(error, *chunk)) error {
	c, err := sh.parseQuiet(path, data)
	if err == nil {
		err = sh.exec(ctx, c)
	}
	if status, ok := errors.AsType[ExitStatus](err); ok {
		return status
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		show(err, c)
	}
	return nil
}

// showInit shows at a terminal why a file has failed.
func (sh *Shell) showInit(err error, c *chunk) { sh.print(sh.describe(err, c)) }

// checkInit refuses a file that another user may have written, unless the user asked for
// it.
func (sh *Shell) checkInit(path string, info fs.FileInfo) error {
	if sh.cfg.InitAlways {
		return nil
	}
	if !isOwn(info) {
		return fmt.Errorf("%s is not run, as another user owns it; --init %[1]s runs it", path)
	}
	return checkWritable(path, info)
}

// checkWritable refuses a file that others than its owner can write to.
func checkWritable(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&othersWrite != 0 {
		return fmt.Errorf("%s is not run, as others can write to it (mode %#o); run: chmod go-w %[1]s", path, mode)
	}
	return nil
}
