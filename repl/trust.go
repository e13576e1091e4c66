package repl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.starlark.net/starlark"
)

// A file of the working folder runs in the user's name, but whoever made the folder may
// have written it: it came with a repository, say. So it runs only after the user has
// allowed it, as direnv does. What is allowed is that content at that path: a record of it
// is a file of the folder Config.Allowed whose name is a hash of both.

// runLocal runs the file of the working folder, if the user has allowed it.
func (sh *Shell) runLocal(ctx context.Context) error {
	if sh.cfg.Local == "" {
		return nil
	}
	path := sh.cfg.Local
	data, err := readSource(path, sh.checkInit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
	case !sh.allows(path, data):
		notice := fmt.Sprintf("(%s of this folder is not run: look at it, then allow() runs it, now and until it changes)", path)
		sh.println(sh.style.odd(folded(notice, sh.cols(), 0, 1, plain)))
		return nil
	default:
		return sh.runFile(ctx, path, data, sh.showInit)
	}
	sh.showInit(err, nil)
	return nil
}

// allow allows the file of the working folder and runs it, or takes that back.
func (sh *Shell) allow(r *request) (starlark.Value, error) {
	yes := true
	if err := r.unpack("yes?", &yes); err != nil {
		return nil, err
	}
	sh.typed.skip = true // a saved session allows nothing in another folder
	path := sh.cfg.Local
	switch {
	case path == "":
		return nil, errors.New("allow: this shell runs no file of its folder, because of --init")
	case sh.cfg.Allowed == "":
		return nil, errors.New("allow: there is no folder to remember it in: HOME is not set")
	}
	data, err := readSource(path, sh.checkInit)
	if err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	record, full, err := sh.record(path, data)
	if err == nil && yes {
		err = os.MkdirAll(sh.cfg.Allowed, 0o700)
		if err == nil {
			err = os.WriteFile(record, []byte(full+"\n"), 0o600)
		}
	} else if err == nil {
		if err = os.Remove(record); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	if !yes || sh.terminal() == nil {
		return starlark.None, nil
	}
	c, err := sh.parseQuiet(path, data)
	if err != nil {
		return nil, err
	}
	return starlark.None, sh.runChunk(r.thread, c)
}

// allows reports whether the user has allowed a file with that content.
func (sh *Shell) allows(path string, data []byte) bool {
	if sh.cfg.Allowed == "" {
		return false
	}
	record, _, err := sh.record(path, data)
	if err != nil {
		return false
	}
	info, err := os.Lstat(record)
	return err == nil && info.Mode().IsRegular() && isOwn(info)
}

// record returns the path of the record of a file with that content, and the full path of
// the file.
func (sh *Shell) record(path string, data []byte) (record, full string, err error) {
	if full, err = filepath.Abs(path); err == nil {
		full, err = filepath.EvalSymlinks(full)
	}
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(full), data}, []byte{0}))
	return filepath.Join(sh.cfg.Allowed, hex.EncodeToString(sum[:])), full, nil
}
