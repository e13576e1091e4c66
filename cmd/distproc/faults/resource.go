//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The resource that the calls of strict kinds change. It is where the clients are,
// outside of all partitions, so that a node which has lost its lease still reaches it. It
// keeps the token of the last change of each id, and refuses an older one.

const (
	resourcePort = 9000
	maxBody      = 1 << 10
	meetTime     = 500 * time.Millisecond // that a reader waits for another one, if they have to meet
)

// A resource has a number for each id of each kind.
type resource struct {
	recorder *recorder
	meets    bool // reads of an id wait for one another

	mu    sync.Mutex
	cells map[strictKey]*cell // guarded by mu
}

// A cell is the number of an id. The resource's mu guards it.
type cell struct {
	value  int64
	token  worker.Token  // of the last change
	reader chan struct{} // closed when another reader comes; nil if none waits
}

// serveResource serves a resource until ctx ends.
func (r *recorder) serveResource(ctx context.Context, addr string, meets bool) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	res := &resource{recorder: r, meets: meets, cells: map[strictKey]*cell{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{kind}/{id}", res.serveRead)
	mux.HandleFunc("PUT /{kind}/{id}", res.serveWrite)
	mux.HandleFunc("POST /{kind}/{id}", res.serveRun)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	r.wg.Go(func() { _ = s.Serve(l) })
	r.wg.Go(func() {
		<-ctx.Done()
		_ = s.Close()
	})
	return nil
}

// cellLocked returns the cell of an id.
func (s *resource) cellLocked(k strictKey) *cell {
	if s.cells[k] == nil {
		s.cells[k] = &cell{}
	}
	return s.cells[k]
}

// read returns a number. If reads have to meet, it waits for another one of the id.
func (s *resource) read(k strictKey) int64 {
	s.mu.Lock()
	c := s.cellLocked(k)
	value, other := c.value, c.reader
	switch {
	case !s.meets:
		s.mu.Unlock()
		return value
	case other != nil:
		close(other)
		c.reader = nil
		s.mu.Unlock()
		return value
	}
	other = make(chan struct{})
	c.reader = other
	s.mu.Unlock()
	select {
	case <-other:
	case <-time.After(meetTime):
		s.mu.Lock()
		if c.reader == other {
			c.reader = nil
		}
		s.mu.Unlock()
	}
	return value
}

// write changes a number, unless the token is older than that of the last change.
func (s *resource) write(k strictKey, message, value int64, token worker.Token) (accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cellLocked(k)
	if token.Compare(c.token) < 0 {
		return false
	}
	c.value, c.token = value, token
	s.recorder.write(entry{Write: &writeEntry{s.recorder.now(), k.kind, k.id, message, token, value}})
	return true
}

// keyOf returns what the address and the header of a request say.
func keyOf(req *http.Request) (k strictKey, token worker.Token, err error) {
	id, err := strconv.ParseInt(req.PathValue("id"), 10, 64)
	if text := req.Header.Get("X-Distproc-Token"); text != "" && err == nil {
		token, err = worker.ParseToken(text)
	}
	return strictKey{req.PathValue("kind"), id}, token, err
}

func (s *resource) serveRead(w http.ResponseWriter, req *http.Request) {
	k, _, err := keyOf(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprint(w, s.read(k))
}

// serveWrite writes the second number of the body, for the message that is the first one.
func (s *resource) serveWrite(w http.ResponseWriter, req *http.Request) {
	k, token, err := keyOf(req)
	body, bodyErr := io.ReadAll(io.LimitReader(req.Body, maxBody))
	var message, value int64
	_, scanErr := fmt.Sscan(string(body), &message, &value)
	if err := errors.Join(err, bodyErr, scanErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !s.write(k, message, value, token) {
		http.Error(w, errRefused.Error(), http.StatusConflict)
	}
}

var errRefused = errors.New("there has been a newer token")

// serveRun is the server of an id of the register: it runs the call that is the body.
func (s *resource) serveRun(w http.ResponseWriter, req *http.Request) {
	k, token, err := keyOf(req)
	body, bodyErr := io.ReadAll(io.LimitReader(req.Body, maxBody))
	if err := errors.Join(err, bodyErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r, err := parseStrict(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	run := s.recorder.beginRun(k, r, nodeNumber(req.Header.Get("X-Distproc-Node")), token)
	defer s.recorder.endRun(&run)
	before := s.read(k)
	time.Sleep(rand.N(20 * time.Millisecond))
	after := r.apply(before)
	if after != before && !s.write(k, r.Message, after, token) {
		run.Refused = true
		http.Error(w, errRefused.Error(), http.StatusConflict)
		return
	}
	fmt.Fprint(w, before, " ", after)
}

func (r *recorder) beginRun(k strictKey, req strictRequest, node int, token worker.Token) strictRun {
	run := strictRun{
		Number: r.number.Add(1), Kind: k.kind, ID: k.id, Message: req.Message, Node: node, Token: token, span: span{Begin: r.now()},
	}
	r.write(entry{StrictRun: &run})
	return run
}

func (r *recorder) endRun(run *strictRun) {
	run.End = r.now()
	r.write(entry{StrictRun: run})
}
