//go:build unix

package repl

import (
	"io/fs"
	"os"
	"syscall"
)

// othersWrite are the bits of the mode of a file that others than its owner can write to.
const othersWrite fs.FileMode = 0o022

// isOwn reports whether a file belongs to the user.
func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Getuid()
}
