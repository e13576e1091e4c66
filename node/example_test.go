package node_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// Three nodes of one cluster. In real life each is a process of its own.
func Example() {
	ctx := context.Background()
	cookie := []byte("a long secret that all nodes share")
	slow := func(_ context.Context, id worker.ID) (worker.Value, error) {
		return worker.BytesValue("price of " + id.String()), nil
	}
	var first *node.Node
	for _, name := range []string{"1@127.0.77.1", "2@127.0.77.1", "3@127.0.77.1"} {
		n, err := node.Start(node.Config{Name: name, Cookie: cookie, Default: worker.Cache{Load: slow, TTL: time.Minute}})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close(ctx)
		if first == nil {
			first = n
		} else if err := n.Join(ctx, first.Self()); err != nil {
			log.Fatal(err)
		}
	}
	reply, err := first.Request(ctx, worker.IntID(7))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Value, "from", reply.Node, "cached:", reply.Cached)
	reply, err = first.Request(ctx, worker.IntID(7))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Value, "from", reply.Node, "cached:", reply.Cached)
	// Output:
	// price of 7 from 2@127.0.77.1 cached: false
	// price of 7 from 2@127.0.77.1 cached: true
}

func ExampleStart() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.2", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	fmt.Println(n.Self(), "listens on", n.Addr())
	// Output: 1@127.0.77.2 listens on 127.0.77.2:4371
}

func ExampleNode_Connect() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.3", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	for _, c := range n.Connect(context.Background(), "1@127.0.77.3", "2@127.0.77.3") {
		fmt.Println(c.Name, c.Err == nil, c.Err)
	}
	// Output:
	// 1@127.0.77.3 true <nil>
	// 2@127.0.77.3 false unreachable: 127.0.77.3:4372: connection refused
}

func ExampleNode_Request_errors() {
	ctx := context.Background()
	n, err := node.Start(node.Config{
		Name: "1@127.0.77.4", Cookie: []byte("a long secret that all nodes share"),
		Default: worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) {
			return worker.Value{}, errors.New("no such tenant")
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	_, err = n.Request(ctx, worker.IntID(7))
	fmt.Println(err)
	fmt.Println(errors.Is(err, node.ErrWorker), errors.Is(err, node.ErrOverloaded), node.OutcomeOf(err))
	// Output:
	// source failed: no such tenant
	// true false ran
}

// A console attaches to a running node: it is no member, and the node does what it asks.
func ExampleAttach() {
	ctx := context.Background()
	cookie := []byte("a long secret that all nodes share")
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.5", Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	c, err := node.Attach(ctx, node.ClientConfig{Node: n.Self(), Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Request(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range workers {
		fmt.Println("worker of", w.ID, "on", w.Node)
	}
	// Output: worker of 7 on 1@127.0.77.5
}

// A program that asks much attaches as a direct client: it asks owners itself, and goes
// on when the node that it is attached to ends.
func ExampleAttach_direct() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.6")
	defer b.Close(ctx)
	c, err := node.Attach(ctx, node.ClientConfig{Node: a.Self(), Cookie: []byte("a long secret that all nodes share"), Direct: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for id := range int64(4) {
		reply, err := c.Request(ctx, worker.IntID(id))
		fmt.Println(reply.Value, "from", reply.Node, err)
	}
	a.Close(ctx) // its value moves
	reply, err := c.Request(ctx, worker.IntID(2))
	fmt.Println(reply.Value, "from", reply.Node, err)
	// Output:
	// value of 0 from 1@127.0.77.6 <nil>
	// value of 1 from 2@127.0.77.6 <nil>
	// value of 2 from 1@127.0.77.6 <nil>
	// value of 3 from 2@127.0.77.6 <nil>
	// value of 2 from 2@127.0.77.6 <nil>
}

func ExampleParseID() {
	for _, s := range []string{"7", "-7", "007", "tenant 7"} {
		id, err := worker.ParseID(s)
		fmt.Println(id, id.IsInt(), id == worker.IntID(7), err)
	}
	// Output:
	// 7 true true <nil>
	// -7 true false <nil>
	// 007 false false <nil>
	// tenant 7 false false <nil>
}

func ExampleBigID() {
	id, err := worker.BigID(new(big.Int).Lsh(big.NewInt(1), 70))
	fmt.Println(id, err)
	// Output: 1180591620717411303424 <nil>
}

func ExampleParseAddr() {
	for _, s := range []string{"2@127.0.0.1", "web@[::1]", "2@db.example.com:5000"} {
		a, err := placement.ParseAddr(s)
		fmt.Println(a.Name, a.HostPort(), err)
	}
	// Output:
	// 2@127.0.0.1 127.0.0.1:4372 <nil>
	// web@[::1] [::1]:27825 <nil>
	// 2@db.example.com db.example.com:5000 <nil>
}

func ExampleLoadCookies() {
	dir, err := os.MkdirTemp("", "cookie")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	made, err := node.LoadCookies(filepath.Join(dir, "cookie"))
	if err != nil {
		log.Fatal(err)
	}
	read, err := node.ReadCookies(filepath.Join(dir, "cookie"))
	fmt.Println(len(made), string(made[0]) == string(read[0]), err)
	// Output: 1 true <nil>
}

func ExampleReadCookie() {
	_, err := node.ReadCookie(filepath.Join(os.TempDir(), "no such folder", "cookie"))
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output: true
}

// A running cluster changes its cookie in three steps, each on all nodes before the next.
func ExampleNode_SetCookies() {
	before, after := []byte("the old secret of this cluster"), []byte("the new secret of this cluster")
	n, err := node.Start(node.Config{Name: "1@127.0.0.9", Cookie: before})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	attach := func(cookie []byte) error {
		c, err := node.Attach(context.Background(), node.ClientConfig{Node: n.Addr(), Cookie: cookie})
		if err == nil {
			c.Close()
		}
		return err
	}
	fmt.Println("step 1:", n.SetCookies(before, after), attach(before), attach(after))
	fmt.Println("step 2:", n.SetCookies(after, before), attach(before), attach(after))
	fmt.Println("step 3:", n.SetCookies(after), errors.Is(attach(before), node.ErrCookie), attach(after))
	// Output:
	// step 1: <nil> <nil> <nil>
	// step 2: <nil> <nil> <nil>
	// step 3: <nil> true <nil>
}

func ExampleParseCookie() {
	cookie, err := node.ParseCookie([]byte("  a long secret that all nodes share\n"))
	fmt.Printf("%q %v\n", cookie, err)
	_, err = node.ParseCookie([]byte("ab"))
	fmt.Println(err != nil)
	// Output:
	// "a long secret that all nodes share" <nil>
	// true
}

func ExampleIntValue() {
	v := worker.IntValue(454)
	n, ok := v.Int()
	fmt.Println(v, n, ok)
	// Output: 454 454 true
}

// A service has workers of several kinds, each with a source and a policy of its own.
func ExampleNode_Family() {
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.9",
		Cookie: []byte("a long secret that all nodes share"),
		Kinds: map[string]worker.Kind{
			"price": worker.Cache{TTL: 30 * time.Second, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
				return worker.MediaValue("application/json", `{"price": `+id.String()+`}`), nil
			}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	reply, err := n.Family("price").Request(context.Background(), worker.IntID(7))
	fmt.Println(reply.Value, reply.Value.MediaType(), err)
	_, err = n.Family("weather").Request(context.Background(), worker.IntID(7))
	fmt.Println(errors.Is(err, node.ErrUnknownKind), err)
	// Output:
	// {"price": 7} application/json <nil>
	// true unknown kind: "weather"
}

// Kinds can change while the node runs, as from a configuration file that was edited.
func ExampleNode_SetKinds() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.10", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	err = n.SetKinds(map[string]worker.Kind{"price": worker.Cache{TTL: time.Minute, Load: worker.RandomSource}})
	fmt.Println(err)
	reply, err := n.Family("price").Request(context.Background(), worker.IntID(7))
	fmt.Println(reply.TTL > 55*time.Second, err)
	// Output:
	// <nil>
	// true <nil>
}

// A service keeps prices that are slow to find out: each is asked for once in 30 s, on
// one node of the cluster.
func ExampleLoad() {
	type price struct {
		Cents int `json:"cents"`
	}
	find := func(_ context.Context, id worker.ID) (price, error) { // in real life: ask the database
		if id == worker.IntID(0) {
			return price{}, errors.New("not for sale")
		}
		return price{Cents: 1999}, nil
	}
	ctx := context.Background()
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.11",
		Cookie: []byte("a long secret that all nodes share"),
		Kinds:  map[string]worker.Kind{"price": worker.Cache{Load: worker.Load(find), TTL: 30 * time.Second}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	prices := n.Family("price")
	p, reply, err := node.Get[price](ctx, prices, worker.IntID(7))
	fmt.Println(p.Cents, reply.Cached, err)
	p, reply, err = node.Get[price](ctx, prices, worker.IntID(7))
	fmt.Println(p.Cents, reply.Cached, err)
	_, _, err = node.Get[price](ctx, prices, worker.IntID(0))
	fmt.Println(err)
	// Output:
	// 1999 false <nil>
	// 1999 true <nil>
	// source failed: not for sale
}

// An account belongs to one tenant. It needs no lock, and no transaction: all that
// happens to it happens on one node, one thing after the other.
type account struct{ balance int }

func openAccount(_ context.Context, id worker.ID) (*account, error) {
	fmt.Println("open the account of", id) // in real life: read it from the database
	return &account{balance: 100}, nil
}

// A transfer is a message to an account.
type transfer struct {
	Amount int `json:"amount"`
}

var errNotEnough = errors.New("not enough money")

func (a *account) Call(_ context.Context, t transfer) (balance int, err error) {
	if a.balance+t.Amount < 0 {
		return 0, errNotEnough
	}
	a.balance += t.Amount
	return a.balance, nil
}

func (a *account) Terminate(_ context.Context, why worker.EndReason) {
	fmt.Println("closed with", a.balance, "because:", why) // in real life: write what is not written yet
}

func ExampleServe() {
	ctx := context.Background()
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.12",
		Cookie: []byte("a long secret that all nodes share"),
		Kinds:  map[string]worker.Kind{"account": worker.Serial{Open: worker.Serve(openAccount), IdleTTL: time.Minute}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	accounts, tenant := n.Family("account"), worker.IntID(7)
	for _, amount := range []int{50, -120, -120} {
		balance, err := node.Call[int](ctx, accounts, tenant, transfer{Amount: amount})
		fmt.Println(balance, err)
	}
	if _, err := accounts.Stop(ctx, tenant); err != nil {
		log.Fatal(err)
	}
	// Output:
	// open the account of 7
	// 150 <nil>
	// 30 <nil>
	// 0 source failed: not enough money
	// closed with 30 because: stopped
}

// Two nodes become one cluster; one of them leaves it again. What it owned belongs to the
// other one from then on.
func ExampleNode_Join() {
	ctx := context.Background()
	start := func(name string) *node.Node {
		n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: name, Cookie: []byte("a long secret that all nodes share")})
		if err != nil {
			log.Fatal(err)
		}
		return n
	}
	a, b := start("1@127.0.77.13"), start("2@127.0.77.13")
	defer a.Close(ctx)
	if err := b.Join(ctx, "1@127.0.77.13"); err != nil {
		log.Fatal(err)
	}
	owner, _ := b.Owner(ctx, worker.IntID(7))
	fmt.Println(owner)
	if err := b.Close(ctx); err != nil {
		log.Fatal(err)
	}
	owner, _ = a.Owner(ctx, worker.IntID(7))
	fmt.Println(owner)
	// Output:
	// 2@127.0.77.13
	// 1@127.0.77.13
}

// The outcome of an error says whether the call has run. A call that has not run can be
// made again.
func ExampleOutcomeOf() {
	ctx := context.Background()
	busy := make(chan struct{})
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.14",
		Cookie: []byte("a long secret that all nodes share"),
		Default: worker.Cache{Queue: 1, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			close(busy)
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	slow, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	first := make(chan error)
	go func() {
		_, err := n.Request(slow, worker.IntID(7))
		first <- err
	}()
	<-busy
	_, err = n.Request(ctx, worker.IntID(7))
	fmt.Println(errors.Is(err, node.ErrOverloaded), node.OutcomeOf(err))
	err = <-first
	fmt.Println(errors.Is(err, context.DeadlineExceeded), node.OutcomeOf(err))
	// Output:
	// true not run
	// true unknown
}

func ExampleWithTrace() {
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.15",
		Cookie: []byte("a long secret that all nodes share"),
		Default: worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			return worker.BytesValue("part of " + worker.TraceOf(ctx)), nil
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	ctx := worker.WithTrace(context.Background(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	reply, err := n.Request(ctx, worker.IntID(7))
	fmt.Println(reply.Value, err)
	// Output: part of 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 <nil>
}

func ExampleNode_Stats() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.16", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	for range 3 {
		if _, err := n.Request(context.Background(), worker.IntID(7)); err != nil {
			log.Fatal(err)
		}
	}
	k := n.Stats().Kinds[0]
	fmt.Println(k.Kind, k.Local, k.Workers, n.Stats().Members[node.StateAlive])
	// Output: default 3 1 1
}

func ExampleCheckVoters() {
	fmt.Println(node.CheckVoters([]string{"1@10.0.0.1", "2@10.0.0.2", "3@10.0.0.3"}))
	fmt.Println(node.CheckVoters([]string{"1@10.0.0.1", "2@10.0.0.2"}))
	// Output:
	// <nil>
	// 2 of them: there may be 1, 3 or 5, so that a majority is left when one or two are lost
}
