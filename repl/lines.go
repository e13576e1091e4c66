package repl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// A plainReader reads lines from a pipe or file. It reads in a goroutine, because a read
// cannot be canceled. If the context of the first call ends, that goroutine stays until
// its read returns.
type plainReader struct {
	in    io.Reader
	name  string
	start sync.Once
	lines chan plainLine // closed at the end
	n     int            // lines given out
}

type plainLine struct {
	text string
	err  error
}

func newPlainReader(in io.Reader, name string) *plainReader {
	return &plainReader{in: in, name: name, lines: make(chan plainLine)}
}

// begin begins to read, until ctx ends.
func (r *plainReader) begin(ctx context.Context) {
	r.start.Do(func() { go r.read(ctx, bufio.NewReaderSize(r.in, 64<<10)) })
}

func (r *plainReader) readLine(ctx context.Context, _, _ string) (string, error) {
	r.begin(ctx)
	select {
	case line, ok := <-r.lines:
		if !ok && ctx.Err() != nil {
			return "", context.Cause(ctx)
		} else if !ok {
			return "", io.EOF
		}
		r.n++
		if line.err == nil {
			line.err = checkLine(line.text, r.name, r.n)
		}
		return line.text, line.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// read sends each line as soon as it is complete. It holds little more than maxSource
// bytes.
func (r *plainReader) read(ctx context.Context, in *bufio.Reader) {
	defer close(r.lines)
	send := func(l plainLine) bool {
		select {
		case r.lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	var line strings.Builder
	for {
		part, err := in.ReadSlice('\n')
		if line.Len() <= maxSource {
			line.Write(part)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if line.Len() > 0 {
			text := strings.TrimSuffix(strings.TrimSuffix(line.String(), "\n"), "\r")
			line.Reset()
			// The parser treats a lone carriage return as the end of a line, so read
			// does, too.
			for text := range strings.SplitSeq(text, "\r") {
				if !send(plainLine{text: text}) {
					return
				}
			}
		}
		if err != nil {
			if err != io.EOF {
				send(plainLine{err: fmt.Errorf("%s: %w", r.name, err)})
			}
			return
		}
	}
}
