package voters_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/voters"
	"github.com/distproc/distproc/node/worker"
)

// A client asks who the voters are, and removes one.
func Example() {
	dir, err := os.MkdirTemp("", "voter")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cookie := []byte("the cookie of the example")
	n, err := node.Start(node.Config{
		Name: "1@127.0.77.1", Cookie: cookie, Voters: []string{"1@127.0.77.1"}, DataDir: dir, Timing: node.Local,
		Default: worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(1), nil }},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	ctx := context.Background()
	c, err := node.Attach(ctx, node.ClientConfig{Node: "1@127.0.77.1", Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for {
		r, err := c.Voters(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if r.Quorum() {
			fmt.Println(r.Leader, "leads:", r.Majority())
			break
		}
		time.Sleep(100 * time.Millisecond) // the voters have yet to begin
	}
	changed, err := c.ChangeVoters(ctx, voters.Change{Name: "1@127.0.77.1", Timeout: 3 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(changed.Done, changed.Why)
	// Output:
	// 1@127.0.77.1 leads: 1 of 1 answers, and 1 is needed
	// false 1@127.0.77.1 is the only voter: add another one first
}

// A recovery is for the data directory of a voter.
func ExampleOpenRecovery() {
	_, err := voters.OpenRecovery("/nowhere", "1@127.0.0.1")
	fmt.Println(err)
	// Output: data directory /nowhere: no voter has used it; pass the --data-dir that the node had
}
