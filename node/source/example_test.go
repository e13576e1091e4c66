package source_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"

	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

func ExampleParse_exec() {
	load, err := source.Parse(`exec:echo "the price of" {id}`, source.Env{Kind: "price", Node: "1@127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	id, err := worker.ParseID("$(touch x);a|b&")
	if err != nil {
		log.Fatal(err)
	}
	value, err := load(context.Background(), id)
	fmt.Println(value, err)
	// Output: the price of $(touch x);a|b& <nil>
}

func ExampleParse_http() {
	prices := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, r.Header.Get("X-Distproc-Kind"), "at", r.RequestURI)
	}))
	defer prices.Close()
	load, err := source.Parse(prices.URL+"/price/{id}", source.Env{Kind: "price", Node: "1@127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	id, err := worker.ParseID("tea/green")
	if err != nil {
		log.Fatal(err)
	}
	value, err := load(context.Background(), id)
	fmt.Printf("%s, %q, %v\n", value.MediaType(), value, err)
	// Output: text/plain, "price at /price/tea%2Fgreen\n", <nil>
}

func ExampleParseSerial() {
	factory, err := source.ParseSerial(`exec:sh -c 'echo "$DISTPROC_ID got $(cat)"'`, source.Env{Kind: "tenant", Node: "1@127.0.0.1"})
	if err != nil {
		log.Fatal(err)
	}
	id, err := worker.ParseID("acme")
	if err != nil {
		log.Fatal(err)
	}
	server, err := factory(context.Background(), id)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := server.Call(context.Background(), worker.BytesValue("a message"))
	fmt.Println(answer, err)
	// Output: acme got a message <nil>
}

func ExampleParse_error() {
	_, err := source.Parse("foo:bar", source.Env{Kind: "price", Node: "1@127.0.0.1"})
	fmt.Println(err)
	// Output: source "foo:bar": say random, exec:PROGRAM ARGS… or an http(s):// address
}

// A process that uses Reap runs its own programs by Run, so that Reap leaves them alone.
func ExampleRun() {
	cmd := exec.Command("true")
	err := source.Run(cmd, func() { fmt.Println("started") })
	fmt.Println(cmd.ProcessState, err)
	// Output:
	// started
	// exit status 0 <nil>
}
