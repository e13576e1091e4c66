package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A patient is a server whose call does not heed the end of its context.
type patient struct{ begun, end chan struct{} }

func (p patient) Call(_ context.Context, message worker.Value) (worker.Value, error) {
	if message.String() == "wait" {
		close(p.begun)
		<-p.end
	}
	return message, nil
}

// ForceStop gives up an id whose call does not end. The next call starts a new server.
func ExampleFamily_ForceStop() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	p := patient{begun: make(chan struct{}), end: make(chan struct{})}
	n, err := node.Start(node.Config{
		Name: "1@127.0.77.15", Cookie: []byte("a long secret that all nodes share"),
		Voters: []string{"1@127.0.77.15"}, DataDir: dir,
		Default: worker.Serial{Strict: true, Open: func(context.Context, worker.ID) (worker.Server, error) { return p, nil }},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer n.Close(ctx)
	defer close(p.end)
	for n.Ready(ctx) != nil && ctx.Err() == nil { // until the voters have a leader
		time.Sleep(10 * time.Millisecond)
	}
	stuck := make(chan error)
	go func() {
		_, err := n.Family("").Call(ctx, worker.IntID(7), worker.BytesValue("wait"))
		stuck <- err
	}()
	select {
	case <-p.begun:
	case err := <-stuck:
		log.Fatal(err)
	}
	stopped, err := n.Family("").ForceStop(ctx, worker.IntID(7))
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range stopped {
		fmt.Println("given up on", s.Node, "while a call ran:", s.Runs > 0)
	}
	err = <-stuck
	fmt.Println(errors.Is(err, node.ErrFenced), node.OutcomeOf(err))
	reply, err := n.Family("").Call(ctx, worker.IntID(7), worker.BytesValue("go on"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Value, reply.Token.Compare(stopped[0].Token) > 0)
	// Output:
	// given up on 1@127.0.77.15 while a call ran: true
	// true unknown
	// go on true
}
