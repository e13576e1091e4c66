//go:build !unix

package gateway

import "net"

// pending reports whether a connection waits for Accept, as far as that is known here.
func pending(net.Listener) bool { return false }

// maxFiles returns how many files the process may have open, as far as that matters here.
func maxFiles() int { return 2 * maxConns }
