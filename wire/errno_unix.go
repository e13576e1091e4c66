//go:build !windows

package wire

import "syscall"

// Errors of the system about addresses, for errors.Is.
const (
	ErrAddrInUse    = syscall.EADDRINUSE    // another socket listens there
	ErrAddrNotAvail = syscall.EADDRNOTAVAIL // it is no address of this machine

	errConnReset = syscall.ECONNRESET
)
