package quorum

import (
	"runtime"
	"time"

	"github.com/hashicorp/raft"
)

// Votes are where raft keeps its term and its vote. Raft panics if it cannot save its term,
// so a disk that is full or broken holds raft up until it is well again: such a voter does
// not vote, and does not lie. At the end it ends raft's goroutine.
type votes struct {
	raft.StableStore
	closed <-chan struct{}
	failed func(error) // called with each error, and with nil when the disk is well again
}

func (v votes) Set(key, value []byte) error {
	return v.save(func() error { return v.StableStore.Set(key, value) })
}

func (v votes) SetUint64(key []byte, value uint64) error {
	return v.save(func() error { return v.StableStore.SetUint64(key, value) })
}

func (v votes) save(do func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := do()
		v.failed(err)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-v.closed:
			runtime.Goexit()
		}
	}
}

// Entries are where raft keeps its log. Raft can bear that it cannot be written: it tells the
// leader, or leads no more.
type entries struct {
	raft.LogStore
	noted func(error) // called with the result of each write
}

func (e entries) StoreLog(l *raft.Log) error { return e.note(e.LogStore.StoreLog(l)) }

func (e entries) StoreLogs(list []*raft.Log) error { return e.note(e.LogStore.StoreLogs(list)) }

func (e entries) DeleteRange(first, last uint64) error {
	return e.note(e.LogStore.DeleteRange(first, last))
}

func (e entries) note(err error) error {
	e.noted(err)
	return err
}
