package page

import (
	"fmt"
	"net"
	"testing"
)

// stream asks for a stream of the page, and never reads it.
func stream(t testing.TB, host, path string) {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", path, host); err != nil {
		t.Fatal(err)
	}
}
