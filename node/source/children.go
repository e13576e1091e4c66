package source

import (
	"os/exec"
	"runtime"
	"sync"
)

// children holds the running programs. All sources share it, because a process has one
// set of children: [Reap] must not collect the exit status of a child that exec waits
// for.
var children childSet

// Run runs a program that is none of a source, calls started once it has started, and
// waits for it. Its error is that of [exec.Cmd.Run]. A process that uses [Reap] must run all
// its programs so. Run may be called from any number of goroutines.
func Run(cmd *exec.Cmd, started func()) error { return children.run(cmd, started) }

// A childSet runs programs and records their process ids.
type childSet struct {
	starting sync.RWMutex // read-locked from before a program starts until it is in pids
	pids     sync.Map     // process ids (int) of programs that have not been waited for
}

// run runs cmd, and calls started once it has started. The kernel kills a program when
// the thread that started it ends (see tie), so the goroutine keeps its thread until the
// program has ended.
func (s *childSet) run(cmd *exec.Cmd, started func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.start(cmd); err != nil {
		return err
	}
	started()
	defer s.pids.Delete(cmd.Process.Pid)
	return cmd.Wait()
}

func (s *childSet) start(cmd *exec.Cmd) error {
	s.starting.RLock()
	defer s.starting.RUnlock()
	err := cmd.Start()
	if err == nil {
		s.pids.Store(cmd.Process.Pid, nil)
	}
	return err
}
