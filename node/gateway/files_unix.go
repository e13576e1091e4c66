//go:build unix

package gateway

import "syscall"

// maxFiles returns how many files the process may have open, as far as that matters here.
func maxFiles() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 2 * maxConns
	}
	return int(min(r.Cur, 2*maxConns))
}
