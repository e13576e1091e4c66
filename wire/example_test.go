package wire_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/distproc/distproc/wire"
)

// upper answers calls and operations of its peer.
type upper struct{}

func (upper) ServeCall(c wire.Call) {
	c.Reply(&wire.Reply{Data: "you asked for " + c.Request.Text})
}

func (upper) ServeOperation(ctx context.Context, s *wire.Session, op wire.Op, args func(any) error) (any, error) {
	if op != 1 {
		return nil, wire.UnknownOperation
	}
	return "hello, " + s.Peer().Name, nil
}

func Example() {
	ctx := context.Background()
	creds, err := wire.NewCredentials([]byte("a long secret that both sides share"), wire.TLSFiles{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := wire.Listen("127.0.0.1:0", creds, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan *wire.Session, 1)
	go func() {
		in, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		s, err := in.Accept(wire.Hello{Name: "2@127.0.0.1"}, upper{})
		if err != nil {
			log.Fatal(err)
		}
		accepted <- s
	}()
	s, err := wire.Dial(ctx, l.Addr().String(), creds, wire.Hello{Name: "1@127.0.0.1"}, upper{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	defer (<-accepted).Close()

	var reply wire.Reply
	err = s.Call(ctx, &wire.Request{Text: "tenant 7", IsText: true}, 5*time.Second, &reply)
	fmt.Println(reply.Node, "says:", reply.Data, err)
	var greeting string
	err = s.Do(ctx, 1, nil, &greeting)
	fmt.Println(greeting, err)
	fmt.Println(s.Do(ctx, 2, nil, nil))
	// Output:
	// 2@127.0.0.1 says: you asked for tenant 7 <nil>
	// hello, 1@127.0.0.1 <nil>
	// 2@127.0.0.1: unknown operation
}

// Gossip takes a link of its own, so that it need not wait behind answers.
func ExampleDialLink() {
	creds, _ := wire.NewCredentials([]byte("the cookie of this cluster"), wire.TLSFiles{})
	listener, _ := wire.Listen("127.0.0.1:0", creds, nil)
	defer listener.Close()
	go func() {
		in, _ := listener.Accept()
		link, _ := in.AcceptLink(wire.Hello{Name: "1@127.0.0.1"})
		stream, _ := link.Accept()
		io.Copy(stream, stream)
	}()

	hello := wire.Hello{Name: "2@127.0.0.1", Role: wire.RoleLink}
	link, err := wire.DialLink(context.Background(), listener.Addr().String(), creds, hello)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer link.Close()
	stream, _ := link.Open()
	fmt.Fprintln(stream, "alive?")
	answer, _ := bufio.NewReader(stream).ReadString('\n')
	fmt.Print(link.Peer().Name, ": ", answer)
	// Output: 1@127.0.0.1: alive?
}

// A caller repeats a call only if it has certainly not run.
func ExampleError() {
	err := error(wire.Errorf(wire.Overloaded, wire.NotRun, "1,000 calls wait"))
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Outcome == wire.NotRun {
		fmt.Println(err)
	}
	fmt.Println(errors.Is(err, wire.Overloaded))
	fmt.Println(errors.Is(wire.Ended(context.DeadlineExceeded, wire.Unknown), context.DeadlineExceeded))
	// Output:
	// overloaded: 1,000 calls wait
	// true
	// true
}

// An attacker with an IPv6 network has 2⁶⁴ addresses, which count as one host.
func ExampleHostOf() {
	for _, addr := range []string{"192.0.2.7:51000", "[2001:db8::7]:51000"} {
		tcp, _ := net.ResolveTCPAddr("tcp", addr)
		fmt.Println(wire.HostOf(tcp))
	}
	// Output:
	// 192.0.2.7/32
	// 2001:db8::/64
}
