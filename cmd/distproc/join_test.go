//go:build unix

package main

import (
	"fmt"
	"testing"
)

// TestTransitive joins each node to the next one only.
func TestTransitive(t *testing.T) {
	t.Parallel()
	host := testHost()
	for i := range 4 {
		args := []string{}
		if i > 0 {
			args = append(args, "--join", fmt.Sprintf("%d@%s", i, host))
		}
		startNode(t, fmt.Sprintf("%d@%s", i+1, host), args...)
	}
	sh := start(t, "repl", "--attach", "4@"+host)
	sh.awaitAnswer("print([n[0] for n in nodes()])", `["1", "2", "3", "4"]`)
	sh.awaitAnswer("print([request(i).node[0] for i in range(6)])", `["1", "2", "3", "4", "1", "2"]`)
}
