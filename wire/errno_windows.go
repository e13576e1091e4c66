package wire

import "golang.org/x/sys/windows"

// Errors of the system about addresses, for errors.Is. Those of package syscall that have
// names of Unix are never returned on Windows.
const (
	ErrAddrInUse    = windows.WSAEADDRINUSE    // another socket listens there
	ErrAddrNotAvail = windows.WSAEADDRNOTAVAIL // it is no address of this machine

	errConnReset = windows.WSAECONNRESET
)
