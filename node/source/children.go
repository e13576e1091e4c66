package source

import (
	"os/exec"
	"runtime"
	"sync"
)

// children holds the programs that run now. A process has one set of children, so this is one
// for all sources: [Reap] must not take the exit status of a child that exec waits for.
var children childSet

// A childSet runs programs and knows their process numbers.
type childSet struct {
	starting sync.RWMutex // held for reading from before a program starts until it is in pids
	pids     sync.Map     // of int, the programs that nobody has waited for
}

// run runs cmd. The kernel kills a program when the thread that started it ends (see tie), so
// the goroutine keeps its thread until the program has ended.
func (s *childSet) run(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := s.start(cmd); err != nil {
		return err
	}
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
