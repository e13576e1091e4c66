package repl_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/repl"
)

// alone is a cluster of one node, whose workers all have the value 454. What the examples
// do not call is left out.
type alone struct{ repl.Cluster }

func (alone) Self() string { return "1@127.0.0.1" }
func (alone) Connect(context.Context, ...string) []node.Connection {
	return []node.Connection{{Name: "1@127.0.0.1"}}
}
func (alone) Family(string) node.Family { return workers{} }

// workers are those of every kind.
type workers struct{ node.Family }

func (workers) Request(context.Context, worker.ID) (worker.Reply, error) {
	return worker.Reply{Value: worker.IntValue(454), Node: "1@127.0.0.1"}, nil
}
func (alone) Owner(context.Context, worker.ID) (string, error) { return "1@127.0.0.1", nil }
func (alone) Members(context.Context) ([]node.Member, error) {
	return []node.Member{{Name: "1@127.0.0.1"}}, nil
}
func (alone) Workers(context.Context) ([]worker.Info, error) { return nil, nil }

func ExampleShell_Run() {
	sh := repl.New(repl.Config{
		Cluster: alone{},
		In:      strings.NewReader("connect()\nvalue, name = request(1)  # a reply unpacks\nvalue + 1\n"),
		Out:     os.Stdout,
		Err:     os.Stdout,
		Echo:    true,
	})
	if err := sh.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// distproc(1@127.0.0.1)1> connect()
	// 1@127.0.0.1  true
	// distproc(1@127.0.0.1)2> value, name = request(1)  # a reply unpacks
	// distproc(1@127.0.0.1)3> value + 1
	// 455
}

func ExampleShell_RunProgram() {
	sh := repl.New(repl.Config{Cluster: alone{}, Out: os.Stdout, Err: os.Stdout})
	err := sh.RunProgram(context.Background(), "-e", strings.NewReader("request(7)\nreqest(8)\n"))
	fmt.Println(err)
	// Output:
	// -e:2:1: undefined: reqest (did you mean request?)
	// exit status 1
}

func ExampleShell_RunSources() {
	sh := repl.New(repl.Config{Cluster: alone{}, Out: os.Stdout, Err: os.Stdout, Args: []string{"7"}})
	err := sh.RunSources(context.Background(),
		repl.Source{Name: "-e[1]", Text: strings.NewReader("id = int(args[0])")},
		repl.Source{Name: "-e[2]", Text: strings.NewReader("owner(id)\nexit(3)")})
	fmt.Println(err)
	// Output:
	// "1@127.0.0.1"
	// exit status 3
}

func ExampleShell_RunCommand() {
	sh := repl.New(repl.Config{Cluster: alone{}, Out: os.Stdout})
	get := repl.Command{Name: "request", As: "get", Args: map[string]any{"id": []string{"7", "8"}}}
	if err := sh.RunCommand(context.Background(), get); err != nil {
		fmt.Println(err)
	}
	owner := repl.Command{Name: "owner", Args: map[string]any{"id": "7"}, Format: repl.FormatJSON}
	if err := sh.RunCommand(context.Background(), owner); err != nil {
		fmt.Println(err)
	}
	// Output:
	// id  value  node         cached  degraded
	//  7    454  1@127.0.0.1  false   false
	//  8    454  1@127.0.0.1  false   false
	// "1@127.0.0.1"
}
