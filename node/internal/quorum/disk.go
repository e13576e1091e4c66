package quorum

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/distproc/distproc/wire/file"
)

// The names and the limits of what a voter writes into its data directory.
const (
	identityFile = "voter.json"
	logFile      = "log.db"

	dirFormat   = 1
	maxIdentity = 4096 // bytes
	snapshots   = 2    // that are kept
	lockWait    = 100 * time.Millisecond
)

// An identity names the voter to which a data directory belongs. A node that has lost its data
// directory gets another identity and is another voter, because it may have voted in a term
// of which it knows nothing any more (rule 22).
type identity struct {
	Format int
	Name   string // of the node
	Disk   string // random
}

// A disk is what a voter keeps: its log, its votes and its snapshots.
type disk struct {
	identity
	logs   raft.LogStore
	stable raft.StableStore
	snaps  raft.SnapshotStore
	empty  bool // it was when it was opened: it has never taken part
	close  func()
}

// openDisk opens a data directory for the node of a name, and makes it if there is none. No
// other process can open it until it is closed. An error says what to do.
func openDisk(dir, name string, log hclog.Logger) (d *disk, err error) {
	defer func() {
		if err != nil {
			d, err = nil, fmt.Errorf("data directory %s: %w", dir, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(err)
	}
	if logLost(dir) {
		return nil, damaged(logFile, fs.ErrNotExist)
	}
	store, err := openLog(filepath.Join(dir, logFile))
	if err != nil {
		return nil, err
	}
	d = &disk{logs: store, stable: store, close: func() { _ = store.Close() }} // all that counts is synced
	defer func() {
		if err != nil {
			store.Close()
		}
	}()
	if d.empty, err = isEmpty(store, filepath.Join(dir, "snapshots")); err != nil {
		return nil, err
	}
	if err := d.identify(filepath.Join(dir, identityFile), name); err != nil {
		return nil, err
	}
	d.snaps, err = raft.NewFileSnapshotStoreWithLogger(dir, snapshots, log)
	return d, err
}

// logLost reports whether the log is gone. It was there before the identity, which must not
// vote any more without what it has promised (rule 22).
func logLost(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, identityFile))
	log, logErr := os.Stat(filepath.Join(dir, logFile))
	return err == nil && (errors.Is(logErr, fs.ErrNotExist) || logErr == nil && log.Size() == 0)
}

// openLog opens the log, which locks the directory, and reads all of it once.
func openLog(path string) (store *raftboltdb.BoltStore, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // on pages after the end of the file
	defer func() {                                           // bbolt panics on some pages that make no sense
		if r := recover(); r != nil {
			err = damaged(logFile, fmt.Errorf("%v", r))
		}
	}()
	store, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: lockWait}})
	switch {
	case err == nil:
		if err := readLog(store); err != nil {
			store.Close()
			return nil, damaged(logFile, err)
		}
		return store, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, errInUse
	case isSystem(err):
		return nil, unusable(err)
	}
	return nil, damaged(logFile, err)
}

var errInUse = errors.New("another process uses it; give each node a directory of its own with --data-dir")

// unusable is the error of a directory that the system does not let the voter use.
func unusable(err error) error {
	return fmt.Errorf("%w; it must be a folder that the node can write, with room: see --data-dir", pathless(err))
}

// isSystem reports whether the system has refused something, which is not for what a file has.
func isSystem(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// readLog returns an error if an entry cannot be read, or the term is not there that raft has
// saved before it. A snapshot of another voter leaves a gap between old entries and new.
func readLog(store *raftboltdb.BoltStore) error {
	first, err1 := store.FirstIndex()
	last, err2 := store.LastIndex()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	var l raft.Log
	for i := first; i <= last && i > 0; i++ {
		if err := store.GetLog(i, &l); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	term, err := store.GetUint64(keyTerm)
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	if term < l.Term {
		return fmt.Errorf("the last entry is of term %d, and the term is %d", l.Term, term)
	}
	return nil
}

// keyTerm is where raft saves its term.
var keyTerm = []byte("CurrentTerm")

// saveTerm saves the term once more. Raft does so when it starts, and cannot say that it fails.
func (d *disk) saveTerm() error {
	term, err := d.stable.GetUint64(keyTerm)
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	return pathless(d.stable.SetUint64(keyTerm, term))
}

// damaged is the error of a directory that the voter cannot use any more.
func damaged(name string, why error) error {
	return fmt.Errorf("%s is damaged (%w). Move the directory away and start the node again; "+
		"it comes back as a new voter once distproc voters has removed and added it", name, why)
}

func isEmpty(store *raftboltdb.BoltStore, snapshots string) (bool, error) {
	last, err := store.LastIndex()
	if err != nil {
		return false, damaged(logFile, err)
	}
	list, err := os.ReadDir(snapshots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, pathless(err)
	}
	term, err := store.GetUint64(keyTerm) // it may have voted without a log
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return false, damaged(logFile, err)
	}
	return last == 0 && len(list) == 0 && term == 0, nil
}

// identify reads whose disk it is, or makes it the node's if it is new.
func (d *disk) identify(path, name string) error {
	b, err := file.Read(path, maxIdentity)
	if errors.Is(err, fs.ErrNotExist) {
		if !d.empty {
			return damaged(identityFile, fs.ErrNotExist)
		}
		d.identity = identity{Format: dirFormat, Name: name, Disk: rand.Text()}
		return writeIdentity(path, d.identity)
	}
	if err != nil {
		return pathless(err)
	}
	switch err := json.Unmarshal(b, &d.identity); {
	case err != nil:
		return damaged(identityFile, err)
	case d.Format > dirFormat:
		return fmt.Errorf("a later version of distproc has written it: format %d, and this version reads format %d", d.Format, dirFormat)
	case d.Format < 1, d.Disk == "", d.Name == "":
		return damaged(identityFile, errors.New("it lacks a field"))
	case d.Name != name:
		return fmt.Errorf("it belongs to %s; give each node a directory of its own with --data-dir", d.Name)
	}
	return nil
}

// writeIdentity writes the file so that it is there as a whole, or not at all.
func writeIdentity(path string, id identity) (err error) {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), identityFile+".*")
	if err != nil {
		return pathless(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return pathless(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return pathless(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return pathless(err)
	}
	defer dir.Close()
	return dir.Sync()
}

// pathless returns the error without the path, which the caller names.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}

// server returns the identity of the voter for raft.
func (id identity) server() raft.ServerID { return raft.ServerID(id.Name + "/" + id.Disk) }

// nameOf returns the name of the node that is, or was, a voter.
func nameOf(server raft.ServerID) string {
	name, _, _ := strings.Cut(string(server), "/")
	return name
}
