package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway/page"
	"github.com/distproc/distproc/node/worker"
)

// start starts a node with a hub.
func start(name string) (*node.Node, *page.Hub) {
	n, err := node.Start(node.Config{
		Default: worker.Cache{Load: worker.RandomSource}, Name: name, Cookie: []byte("a long secret that all nodes share"), Version: "v1",
	})
	if err != nil {
		log.Fatal(err)
	}
	return n, page.NewHub(n, n.Self(), nil)
}

// errEnough ends a stream.
var errEnough = errors.New("enough")

// A page shows the members and the kinds of a cluster.
func ExampleHub_Watch() {
	n, h := start("1@127.0.77.60")
	defer n.Close(context.Background())
	defer h.Close()
	if _, err := n.Request(context.Background(), worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	err := h.Watch(context.Background(), page.Choice{}, func(event string, data []byte) error {
		if event != "state" {
			return nil
		}
		var s struct {
			Node      string
			Attention []page.Notice
			Members   []page.Member
			Kinds     []struct {
				Kind    string
				Workers int
			}
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		fmt.Println(s.Node, s.Attention, s.Members[0].State, s.Kinds)
		return errEnough
	})
	fmt.Println(err)
	// Output:
	// 1@127.0.77.60 [] alive [{default 1}]
	// enough
}

// A page shows where an id is, and what happens to it.
func ExampleHub_WatchID() {
	n, h := start("1@127.0.77.61")
	defer n.Close(context.Background())
	defer h.Close()
	err := h.WatchID(context.Background(), worker.Key{ID: worker.IntID(7)}, func(_ string, data []byte) error {
		var s struct {
			ID, Owner, Rule string
			Live            bool
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		fmt.Println(s.ID, s.Owner, s.Rule, s.Live)
		return errEnough
	})
	fmt.Println(err)
	// Output:
	// 7 1@127.0.77.61 7 mod 1 = 0 false
	// enough
}

// A plan says what a node that joins would get.
func ExampleHub_Plan() {
	n, h := start("1@127.0.77.62")
	defer n.Close(context.Background())
	defer h.Close()
	p, err := h.Plan(context.Background(), []string{"2@b", "3@c"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Routing)
	for _, m := range p.After {
		fmt.Printf("%s: %.2f\n", m.Name, m.Share)
	}
	for _, m := range p.Moves {
		fmt.Printf("%s to %s: %.2f\n", m.From, m.To, m.Share)
	}
	_, err = h.Plan(context.Background(), nil, []string{"1@127.0.77.63"})
	fmt.Println(err)
	// Output:
	// modulo
	// 1@127.0.77.62: 0.33
	// 2@b: 0.33
	// 3@c: 0.33
	// 1@127.0.77.62 to 2@b: 0.33
	// 1@127.0.77.62 to 3@c: 0.33
	// bad request: remove 1@127.0.77.63: there is no such member; did you mean 1@127.0.77.62?
}

func ExampleHub_Members() {
	n, h := start("1@127.0.77.64")
	defer n.Close(context.Background())
	defer h.Close()
	members, err := h.Members(context.Background())
	for _, m := range members {
		fmt.Println(m.Name, m.State, m.Workers)
	}
	fmt.Println(err)
	// Output:
	// 1@127.0.77.64 alive 0
	// <nil>
}

func ExampleFile() {
	_, mediaType, etag, ok := page.File("style.css")
	fmt.Println(mediaType, len(etag), ok)
	_, _, _, ok = page.File("../hub.go")
	fmt.Println(ok)
	// Output:
	// text/css; charset=utf-8 26 true
	// false
}

// The page shows what a peer has sent as text, also where that looks like HTML.
func ExampleIndex() {
	var b strings.Builder
	err := page.Index(&b, page.IndexData{Node: "1@a", Err: "<script>"})
	fmt.Println(strings.Contains(b.String(), "&lt;script&gt;"), strings.Contains(b.String(), "<script>"), err)
	// Output: true false <nil>
}

func ExampleLogin() {
	var b strings.Builder
	err := page.Login(&b, page.LoginData{Node: "1@a", Wrong: true})
	fmt.Println(strings.Contains(b.String(), `type="password"`), err)
	// Output: true <nil>
}
