//go:build unix

package source

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	groupDelay = 100 * time.Millisecond // for zombies of a killed group
	groupMost  = 2 * time.Second        // for its processes to end, on a busy machine
	groupPoll  = time.Millisecond
	groupLook  = 20 * time.Millisecond // between two checks for zombies
)

// ownGroup makes cmd start as the leader of a new process group.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tie(cmd.SysProcAttr)
}

// killGroup kills all processes in the group of its leader p.
func killGroup(p *os.Process) error {
	if syscall.Kill(-p.Pid, syscall.SIGKILL) != nil {
		return os.ErrProcessDone // no process is left, or on macOS only an unreaped one
	}
	return nil
}

// awaitGroup waits until all processes in the killed group of leader p have ended. It
// waits less long for zombies, because they stay if their parent does not reap them.
func awaitGroup(p *os.Process) {
	awaitGone(func() bool { return syscall.Kill(-p.Pid, 0) != nil }, func() bool { return allZombies(p.Pid) })
}

func awaitGone(gone, zombies func() bool) {
	began := time.Now()
	for !gone() {
		took := time.Since(began)
		switch {
		case took < groupDelay:
			time.Sleep(groupPoll)
		case took >= groupMost || zombies():
			return
		default:
			time.Sleep(groupLook)
		}
	}
}
