package discover_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/discover"
	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// A program finds the nodes of a cluster, to attach to one of them as a client.
func ExampleParse() {
	s, err := discover.Parse(`exec:printf '1@10.0.0.1\n10.0.0.2:4371  # whoever is there\n'`, discover.Options{Command: source.Command})
	if err != nil {
		log.Fatal(err)
	}
	targets, err := s.Find(context.Background())
	fmt.Println(targets, err)
	// Output: [10.0.0.2:4371 1@10.0.0.1] <nil>
}

func ExampleSource_Find() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "seeds")
	if err := os.WriteFile(path, []byte("1@10.0.0.1\noops\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	s, err := discover.Parse("file:"+path, discover.Options{})
	if err != nil {
		log.Fatal(err)
	}
	targets, err := s.Find(context.Background()) // as good as can be, and what is wrong
	fmt.Println(targets)
	fmt.Println(strings.ReplaceAll(err.Error(), dir, "…"))
	// Output:
	// [1@10.0.0.1]
	// …/seeds:2: node name "oops": no @; write NAME@HOST, such as 1@127.0.0.1, or HOST:PORT
}

// A node takes sources in the place of names.
func ExampleIs() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	seeds := filepath.Join(dir, "seeds")
	if err := os.WriteFile(seeds, []byte("1@127.0.0.61\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for _, name := range []string{"1@127.0.0.61", "2@127.0.0.61"} {
		n, err := node.Start(node.Config{
			Name: name, Cookie: []byte("at least 16 secret bytes"), Default: worker.Cache{Load: worker.RandomSource},
		})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close(ctx)
		source := "file:" + seeds
		err = n.Join(ctx, source)
		members, _ := n.Members(ctx)
		fmt.Println(discover.Is(source), err, len(members))
	}
	// Output:
	// true <nil> 1
	// true <nil> 2
}
