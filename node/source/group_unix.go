//go:build unix

package source

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes cmd start as the leader of a new process group.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tie(cmd.SysProcAttr)
}

// killGroup kills all processes of the group that leader p has made.
func killGroup(p *os.Process) error {
	if syscall.Kill(-p.Pid, syscall.SIGKILL) != nil {
		return os.ErrProcessDone // none is left; on macOS: or only one that nobody has waited for
	}
	return nil
}
