package source

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

const (
	// pipeDelay is how long a program's output and unread input may stay open after the
	// program has ended, held by a process that it started.
	pipeDelay = 500 * time.Millisecond

	// pipeStep is the unit in which pipeDelay is counted. If the node or its machine
	// stands still, that counts as one step, so that there is time afterwards to read
	// and to close what is open.
	pipeStep = 50 * time.Millisecond
)

var errHeld = errors.New("another process holds the input or output")

// pipes connects the node with one program. Package exec can do that, but it limits the
// delay by one timer, which runs out while the node stands still.
type pipes struct {
	ours, theirs []*os.File // ends of the node and of the program
	copying      sync.WaitGroup

	mu  sync.Mutex
	err error // of the first output that could not be copied; guarded by mu
}

// runPiped runs cmd with these standard streams, and waits until all is copied. The input
// is empty if stdin is nil.
func runPiped(cmd *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) error {
	var p pipes
	defer p.copying.Wait()
	defer closeAll(&p.ours)
	err := p.connect(cmd, stdin, stdout, stderr)
	if err == nil {
		err = children.run(cmd, func() { closeAll(&p.theirs) })
	}
	closeAll(&p.theirs)
	if cmd.Process == nil {
		return err
	}
	if copied := p.await(); err == nil {
		err = copied
	}
	return err
}

func (p *pipes) connect(cmd *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	if stdin != nil {
		if cmd.Stdin, err = p.input(stdin); err != nil {
			return err
		}
	}
	if cmd.Stdout, err = p.output(stdout); err != nil {
		return err
	}
	cmd.Stderr, err = p.output(stderr)
	return err
}

// input returns the program's end of a pipe for what from has.
func (p *pipes) input(from io.Reader) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ours, p.theirs = append(p.ours, w), append(p.theirs, r)
	p.copying.Go(func() {
		_, _ = io.Copy(w, from) // the program need not read it
		_ = w.Close()
	})
	return r, nil
}

// output returns the program's end of a pipe to a writer.
func (p *pipes) output(to io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.ours, p.theirs = append(p.ours, r), append(p.theirs, w)
	p.copying.Go(func() {
		buffer := buffers.Get().(*[copySize]byte)
		defer buffers.Put(buffer)
		_, err := io.CopyBuffer(to, struct{ io.Reader }{r}, buffer[:]) // a File's WriteTo would make a buffer
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err == nil {
			p.err = err
		}
	})
	return w, nil
}

// await waits until all is copied after the program has ended. It returns errHeld if a
// process holds a pipe for longer than pipeDelay.
func (p *pipes) await() error {
	done := make(chan struct{})
	go func() {
		p.copying.Wait()
		close(done)
	}()
	held := !closedInTime(done, time.After)
	closeAll(&p.ours) // which ends the copies
	<-done
	if held {
		return errHeld
	}
	return p.err
}

// closedInTime reports whether done is closed within pipeDelay.
func closedInTime(done <-chan struct{}, after func(time.Duration) <-chan time.Time) bool {
	for range pipeDelay / pipeStep {
		select {
		case <-done:
			return true
		case <-after(pipeStep):
		}
	}
	return false
}

// buffers are for copies of output. Most programs print little, and a new buffer takes
// longer than the copy.
var buffers = sync.Pool{New: func() any { return new([copySize]byte) }}

const copySize = 32 << 10

func closeAll(files *[]*os.File) {
	for _, f := range *files {
		_ = f.Close()
	}
	*files = nil
}
