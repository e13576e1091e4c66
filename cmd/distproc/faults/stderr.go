//go:build unix

package faults

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// A stderrReader reads the stderr of a process, and keeps the lines above level debug in
// a file.
type stderrReader struct {
	pipe  *os.File
	stuck sync.Mutex // held while nothing shall be read
	kept  *atomic.Int64
	done  chan struct{}
	leads atomic.Int64 // since when the node leads the voters, on the clock of records; 0 if it does not
}

// readStderr returns a reader, and the end of the pipe for the process. It counts the
// bytes of the file in kept.
func readStderr(path string, kept *atomic.Int64) (*stderrReader, *os.File, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	s := &stderrReader{pipe: r, kept: kept, done: make(chan struct{})}
	go func() { // ends with the process
		defer close(s.done)
		defer r.Close()
		defer file.Close()
		s.copy(file)
	}()
	return s, w, nil
}

func (s *stderrReader) copy(to io.Writer) {
	for lines := bufio.NewReader(s); ; {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte("this node leads the voters")) {
			since := monotonic()
			if bytes.Contains(line, []byte("no more")) {
				since = 0
			}
			s.leads.Store(int64(since))
		}
		if !bytes.Contains(line, []byte(" level=DEBUG ")) {
			n, _ := to.Write(line)
			s.kept.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

// await waits until the reader is not stuck.
func (s *stderrReader) await() {
	s.stuck.Lock()
	defer s.stuck.Unlock()
}

// Read reads from the pipe as soon as the reader is not stuck.
func (s *stderrReader) Read(p []byte) (int, error) {
	s.await()
	return s.pipe.Read(p)
}
