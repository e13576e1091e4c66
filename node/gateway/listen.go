package gateway

import (
	"fmt"
	"net"
	"strconv"
)

// CheckListen returns an error if a gateway must not listen on addr, which is HOST:PORT.
// Off loopback, everybody who reaches the machine reaches the cluster, so the gateway
// needs a token there, unless its user insists that it be open.
func CheckListen(addr string, tokenGiven, open bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q: say HOST:PORT, such as 127.0.0.1:8080", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: a port is a number from 0 to 65535", addr)
	}
	if tokenGiven || open || loopbackName(hostname(host)) {
		return nil
	}
	return fmt.Errorf("%s can be reached from other machines: pass --http-token-file, "+
		"or --http-open if all may use the cluster, or listen on 127.0.0.1:%s", addr, port)
}
