//go:build unix

package main

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestGarbage feeds a node bytes that are no peer's, and silence: it logs a line, and
// serves.
func TestGarbage(t *testing.T) {
	t.Parallel()
	host := testHost()
	n := startNode(t, "2@"+host)
	for i := range 400 {
		conn, err := net.Dial("tcp", host+":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
		}
	}
	sh := start(t, "repl", "--attach", "2@"+host)
	if got := sh.ask("request(1).node"); got != `"2@`+host+`"` {
		t.Errorf("request among garbage: %s", got)
	}
	n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("node: %v", err)
	}
	if log := n.log.String(); strings.Count(log, "connection refused") > 3 || strings.Contains(log, "goroutine") {
		t.Errorf("the log is flooded:\n%s", log)
	}
}
