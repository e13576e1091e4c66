//go:build unix

package source

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	groupDelay = 100 * time.Millisecond // how long the processes of a group that was killed may take to end
	groupPoll  = time.Millisecond
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

// awaitGroup waits until nothing is left of the group that leader p has made and that was
// killed. It gives up after groupDelay: zombies that their parent does not reap stay.
func awaitGroup(p *os.Process) {
	for end := time.Now().Add(groupDelay); syscall.Kill(-p.Pid, 0) == nil && time.Now().Before(end); {
		time.Sleep(groupPoll)
	}
}
