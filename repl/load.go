package repl

import (
	"context"
	"errors"
	"fmt"
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
	c, err := sh.openChunk(path)
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

// openChunk reads a file that runs in the shell and shows no values.
func (sh *Shell) openChunk(path string) (*chunk, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe could block
		return nil, fmt.Errorf("%s: no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fmt.Errorf("%s: %w", path, e.Err)
		}
		return nil, err
	}
	defer f.Close()
	c, err := parseProgram(path, f)
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
		if err := sh.checkInit(path); err != nil {
			show(err, nil)
			continue
		}
		c, err := sh.openChunk(path)
		if errors.Is(err, fs.ErrNotExist) && !sh.cfg.InitAlways {
			continue
		}
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
	}
	return nil
}

// checkInit refuses a file that another user may have written, unless the user asked for
// it.
func (sh *Shell) checkInit(path string) error {
	info, err := os.Stat(path)
	if err != nil || sh.cfg.InitAlways {
		return nil //nolint:nilerr // opening the file reports the error
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not run, as another user owns it; --init %[1]s runs it", path)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("%s is not run, as anybody can write to it; --init %[1]s runs it", path)
	}
	return nil
}
