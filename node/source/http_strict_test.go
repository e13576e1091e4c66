package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A strictService answers the requests of a strict kind. Those with the message "stuck" have
// no answer: they end when their connection is closed. All others wait for the end of those
// that began before, which a server learns some moments after its client has closed them.
type strictService struct {
	stuck chan struct{} // one for each request without an answer
	over  chan struct{} // ends them all the same
	open  sync.WaitGroup

	mu     sync.Mutex
	events []string // guarded by mu, as all below
	tokens []string
}

func (s *strictService) note(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *strictService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	message := string(body)
	s.mu.Lock()
	s.tokens = append(s.tokens, r.Header.Get("X-Distproc-Token"))
	s.mu.Unlock()
	if message != "stuck" {
		s.open.Wait()
		s.note(message + " begins")
	} else {
		s.open.Add(1)
		defer s.open.Done()
		s.note(message + " begins")
		s.stuck <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-s.over:
		}
	}
	s.note(message + " ends")
	io.WriteString(w, message)
}

// startStrict starts two nodes with a strict kind, of which the first one is the only voter.
func startStrict(t *testing.T, spec string) (nodes [2]*node.Node) {
	t.Helper()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 1+pid%250, pid/250%250, hosts.Add(1))
	for i := range nodes {
		n, err := node.Start(node.Config{
			Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: []byte("a long secret that all nodes share"),
			Voters: []string{"1@" + host}, DataDir: t.TempDir(), Timing: node.Local,
			Default: worker.Serial{Strict: true, Open: mustParseSerial(t, spec), Timeout: 2 * time.Second, TTL: time.Hour},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		nodes[i] = n
	}
	if err := nodes[1].Join(t.Context(), nodes[0].Self()); err != nil {
		t.Fatal(err)
	}
	return nodes
}

// TestHTTPStrictTimeout has a service that does not answer. The request is closed at the end of
// the kind's Timeout, although its caller has more time. Only then does the next message of the
// id begin, with a higher token: on the same node, and on the next one if that leaves.
func TestHTTPStrictTimeout(t *testing.T) {
	t.Parallel()
	service := &strictService{stuck: make(chan struct{}, 2), over: make(chan struct{})}
	nodes := startStrict(t, newServer(t, service.ServeHTTP).URL)
	t.Cleanup(func() { close(service.over) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	call := func(id int64, message string) (worker.Reply, error) {
		return nodes[0].Family("").Call(ctx, worker.IntID(id), worker.BytesValue(message))
	}
	var id int64 // of the second node
	for ; ; id++ {
		if reply, err := call(id, "first"); err != nil {
			t.Fatal(err)
		} else if reply.Node == nodes[1].Self() {
			break
		}
	}
	// stick has a message stick, and returns what its caller gets.
	stick := func() <-chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := call(id, "stuck")
			ended <- err
		}()
		select {
		case <-service.stuck:
		case err := <-ended:
			t.Fatal("stuck: ", err)
		}
		return ended
	}
	next := func(want string) {
		t.Helper()
		if reply, err := call(id, "next"); err != nil || reply.Node != want || reply.Value.String() != "next" {
			t.Errorf("next: %v by %s, %v; want it by %s", reply.Value, reply.Node, err, want)
		}
	}

	ended := stick()
	next(nodes[1].Self())
	if err := <-ended; node.OutcomeOf(err) != worker.OutcomeUnknown || ctx.Err() != nil {
		t.Errorf("stuck: %v, outcome %v", err, node.OutcomeOf(err))
	}
	ended = stick()
	left := make(chan error, 1)
	go func() { left <- nodes[1].Close(ctx) }()
	next(nodes[0].Self())
	if err := <-ended; node.OutcomeOf(err) != worker.OutcomeUnknown || ctx.Err() != nil {
		t.Errorf("stuck: %v, outcome %v", err, node.OutcomeOf(err))
	}
	if err := <-left; err != nil {
		t.Error(err)
	}

	service.mu.Lock()
	defer service.mu.Unlock()
	want := []string{"stuck begins", "stuck ends", "next begins", "next ends"}
	if got := service.events[2*(id+1):]; !slices.Equal(got, append(want, want...)) {
		t.Errorf("%q", got)
	}
	for tokens := service.tokens[id:]; len(tokens) > 1; tokens = tokens[1:] {
		if tokens[0] >= tokens[1] { // of the same length
			t.Errorf("token %s, and then %s", tokens[0], tokens[1])
		}
	}
}
