package source

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// reapDelay is the minimum time between two scans of the process table.
const reapDelay = 50 * time.Millisecond

// Reap collects orphans that become children of this process, so that they do not stay as
// zombies, until stop is called. The first process of a container needs it, because
// processes that programs leave behind become its children. It needs /proc. Until stop
// returns, the process must not start children other than programs of sources, and by Run.
func Reap() (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGCHLD)
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			children.reap()
			select {
			case <-time.After(reapDelay):
			case <-stopped:
				return
			}
			select {
			case <-changed:
			case <-stopped:
				return
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(stopped)
		<-done
	}
}

// reap collects each zombie that is a child of this process but not a program of s.
func (s *childSet) reap() {
	processes, err := procfs.AllProcs()
	if err != nil {
		return // it needs /proc
	}
	for _, p := range processes {
		if stat, err := p.Stat(); err == nil && stat.State == "Z" && stat.PPID == os.Getpid() {
			s.collect(p.PID)
		}
	}
}

// collect waits for a child that has ended, unless it is a program of s. No program may
// start meanwhile, because one with the same process id would not be in s.pids yet.
func (s *childSet) collect(pid int) {
	s.starting.Lock()
	defer s.starting.Unlock()
	if _, ours := s.pids.Load(pid); !ours {
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}
