package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway"
	"github.com/distproc/distproc/node/worker"
)

func ExampleNew() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	price := func(_ context.Context, id worker.ID) (worker.Value, error) {
		return worker.BytesValue("price of " + id.String()), nil
	}
	n, err := node.Start(node.Config{
		Name: "1@127.0.78.9", Cookie: []byte("a long secret that all nodes share"),
		Kinds: map[string]worker.Kind{"price": worker.Cache{Load: price, TTL: time.Minute}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)

	const addr = "127.0.78.9:8080"
	if err := gateway.CheckListen(addr, false, false); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- gateway.New(gateway.Config{Cluster: n}).Serve(ctx, l) }()

	for _, path := range []string{"/v1/value/tea%2Fgreen?kind=price", "/v1/owner/7", "/v1/value/7?kind=cost"} {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
		fmt.Printf("%d %s\n", res.StatusCode, body)
	}
	stop()
	fmt.Println(<-served)
	// Output:
	// 200 price of tea/green
	// 200 {"id":"7","owner":"1@127.0.78.9"}
	//
	// 404 {"type":"/problems/unknown-kind","title":"Unknown kind","status":404,"detail":"unknown kind: \"cost\"","outcome":"not run","code":"unknown-kind"}
	//
	// <nil>
}

func ExampleCheckListen() {
	fmt.Println(gateway.CheckListen("127.0.0.1:8080", false, false))
	fmt.Println(gateway.CheckListen(":8080", true, false))
	fmt.Println(gateway.CheckListen(":8080", false, false) != nil)
	// Output:
	// <nil>
	// <nil>
	// true
}

func ExampleReadToken() {
	dir, err := os.MkdirTemp("", "token")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("5f0c-77aa-90d1-1b3e\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Println(gateway.ReadToken(path))
	// Output: 5f0c-77aa-90d1-1b3e <nil>
}
