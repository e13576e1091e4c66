package repl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/wire/file"
)

// The commands of this file act on the machine that the shell runs on, whichever node it is
// attached to.

// argsName is the variable with the arguments of the program.
const argsName = "args"

// maxRead is how many bytes read returns at most.
const maxRead = 16 << 20

// args returns the value of the variable args.
func (sh *Shell) args() *starlark.List {
	list := make([]starlark.Value, len(sh.cfg.Args))
	for i, arg := range sh.cfg.Args {
		list[i] = starlark.String(arg)
	}
	return starlark.NewList(list)
}

// env returns the value of an environment variable.
func (sh *Shell) env(r *request) (starlark.Value, error) {
	var name string
	var otherwise starlark.Value = starlark.None
	if err := r.unpack("name", &name, "default?", &otherwise); err != nil {
		return nil, err
	}
	if v, ok := os.LookupEnv(name); ok {
		return starlark.String(v), nil
	}
	return otherwise, nil
}

// read returns the text of a file, or of the standard input.
func (sh *Shell) read(r *request) (starlark.Value, error) {
	var path string
	if err := r.unpack("file", &path); err != nil {
		return nil, err
	}
	if path == "-" {
		return sh.readInput(r)
	}
	data, err := file.Read(path, maxRead)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", path, e.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return starlark.String(data), nil
}

// readInput returns the rest of the standard input. The read cannot be canceled; if the
// program ends before, it goes on until the process ends.
func (sh *Shell) readInput(r *request) (starlark.Value, error) {
	if sh.readsInput || sh.terminal() != nil {
		return nil, errors.New(`read: the program itself comes from the standard input; "-" is for a program in a FILE or of -e`)
	}
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(sh.cfg.In, maxRead+1))
		done <- result{data, err}
	}()
	select {
	case got := <-done:
		if got.err == nil && len(got.data) > maxRead {
			got.err = fmt.Errorf("more than %d MiB", maxRead>>20)
		}
		if got.err != nil {
			return nil, fmt.Errorf("read: the standard input: %w", got.err)
		}
		return starlark.String(got.data), nil
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}
