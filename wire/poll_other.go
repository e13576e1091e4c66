//go:build !linux

package wire

import "net"

func polled(conn net.Conn) net.Conn { return conn }
