//go:build !unix

package gateway

import "net"

// pending always returns false: this system does not say whether a connection waits for
// Accept.
func pending(net.Listener) bool { return false }

// maxFiles returns a number of files that is enough for all connections.
func maxFiles() int { return 2 * maxConns }
