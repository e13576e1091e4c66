package repl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
)

// greetTime is how long the node has to say who its members are before the first prompt.
const greetTime = time.Second

// greet shows the version, the node and its cluster, and how to get help and leave.
func (sh *Shell) greet(ctx context.Context) {
	if sh.cfg.Version == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	how := "node"
	if sh.cfg.Attached != nil {
		how = "attached to"
	}
	members := "its members are not known yet"
	if list, err := sh.cluster.Members(ctx); err == nil {
		members = countMembers(list)
	}
	hint := "h() lists the commands, Tab completes, Ctrl-D or exit() leaves"
	if sh.terminal() == nil {
		hint = "h() lists the commands, exit() leaves"
	}
	for _, line := range []string{
		fmt.Sprintf("distproc %s, %s %s, %s", sh.cfg.Version, how, sh.cluster.Self(), members),
		hint,
	} {
		sh.println(folded(printable(line), sh.cols(), 0, 0, plain))
	}
}

// countMembers counts the members, and those in trouble.
func countMembers(list []node.Member) string {
	parts := []string{counted(len(list), "member", "members")}
	for _, state := range []node.State{node.StateFailed, node.StateStuck} {
		n := 0
		for _, m := range list {
			if m.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", state))
		}
	}
	return strings.Join(parts, ", ")
}
