package source

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// reapDelay is the least time between two looks at the process table.
const reapDelay = 50 * time.Millisecond

// Reap collects the orphans that become children of this process, so that they do not stay
// as zombies, until stop is called. The first process of a container needs it: a process that
// a program leaves behind becomes its child. It needs /proc. Apart from programs of sources,
// the process must start no children meanwhile.
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

// reap collects each zombie that is a child of this process but no program of s.
func (s *childSet) reap() {
	processes, err := procfs.AllProcs()
	if err != nil {
		return // without /proc there is nothing to go by
	}
	for _, p := range processes {
		if stat, err := p.Stat(); err == nil && stat.State == "Z" && stat.PPID == os.Getpid() {
			s.collect(p.PID)
		}
	}
}

// collect waits for a child that has ended, unless it is a program of s. No program starts
// meanwhile: one that had the same number would not be in s.pids yet.
func (s *childSet) collect(pid int) {
	s.starting.Lock()
	defer s.starting.Unlock()
	if _, ours := s.pids.Load(pid); !ours {
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}
