package worker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A price is computed at most once a minute. While a new one is computed, callers get the
// old one for up to ten seconds.
func ExampleCache() {
	price := func(_ context.Context, id worker.ID) (float64, error) { return 9.99, nil }
	kind := worker.Cache{
		Load:                 worker.Load(price),
		TTL:                  time.Minute,
		StaleWhileRevalidate: 10 * time.Second,
	}
	value, err := kind.Load(context.Background(), worker.IntID(7))
	fmt.Println(value, err, kind.Validate())
	// Output: 9.99 <nil> <nil>
}

type counter struct{ sum int }

func (c *counter) Call(_ context.Context, n int) (int, error) {
	c.sum += n
	return c.sum, nil
}

// A counter ends a minute after its last message.
func ExampleSerial() {
	kind := worker.Serial{
		Open:    worker.Serve(func(context.Context, worker.ID) (*counter, error) { return &counter{}, nil }),
		IdleTTL: time.Minute,
	}
	server, err := kind.Open(context.Background(), worker.IntID(7))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		answer, err := server.Call(context.Background(), worker.IntValue(20))
		fmt.Println(answer, err)
	}
	// Output:
	// 20 <nil>
	// 40 <nil>
}

// One context serves all calls, each of which has a second.
func ExampleWithTimeLimit() {
	ctx := worker.WithTimeLimit(context.Background(), time.Second)
	limit, ok := worker.TimeLimitOf(ctx)
	_, ends := ctx.Deadline()
	fmt.Println(limit, ok, ends)
	// Output: 1s true false
}

// A row keeps the token of the call that has changed it last, and refuses an older one, of a
// call that goes on although another node has its id by now.
func ExampleTokenOf() {
	var row struct {
		balance int
		token   string
	}
	deposit := func(ctx context.Context, n int) error {
		token := worker.TokenOf(ctx).String()
		if token < row.token { // in SQL: UPDATE … WHERE token <= $1
			return fmt.Errorf("%s is older than %s", token, row.token)
		}
		row.balance, row.token = row.balance+n, token
		return nil
	}
	fmt.Println(deposit(context.Background(), 5), row.balance)
	row.token = worker.Token{Epoch: 2, Count: 1}.String() // another node has been here
	fmt.Println(deposit(context.Background(), 5), row.balance)
	// Output:
	// <nil> 5
	// 0000000000000000.0000000000000000 is older than 0000000000000002.0000000000000001 5
}
