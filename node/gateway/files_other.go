//go:build !unix

package gateway

// maxFiles returns how many files the process may have open, as far as that matters here.
func maxFiles() int { return 2 * maxConns }
