//go:build unix

package source

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	groupDelay = 100 * time.Millisecond // how long the processes of a group that was killed may be zombies
	groupMost  = 2 * time.Second        // how long they may take to end, on a machine that is busy
	groupPoll  = time.Millisecond
	groupLook  = 20 * time.Millisecond // between two looks at which of them are zombies
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
// killed. Zombies that their parent does not reap stay, so it waits for them less long.
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
