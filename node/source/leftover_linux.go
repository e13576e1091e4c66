package source

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

const (
	markVariable = "DISTPROC_RUN"

	leftoverDelay = 2 * time.Second // for killed leftovers to end
	leftoverPoll  = 5 * time.Millisecond
)

// tie makes the kernel kill the program when the thread that starts it ends.
func tie(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// allZombies reports whether /proc shows all processes of a group as zombies. A process
// whose first thread has ended is shown as one, but has its files until its other threads
// have ended.
func allZombies(group int) bool {
	processes, _ := procfs.AllProcs()
	return !slices.ContainsFunc(processes, func(p procfs.Proc) bool {
		stat, err := p.Stat()
		return err == nil && stat.PGRP == group && (stat.State != "Z" || stat.NumThreads > 1)
	})
}

// A mark identifies the process that started a program. It is in the environment of the
// program, and its descendants inherit it.
type mark struct {
	namespace uint64 // inode of the PID namespace of the process ids
	pid       int
	started   uint64 // in clock ticks since boot, because process ids are reused
	session   int    // session of the process and of its programs
}

func (m mark) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", m.namespace, m.pid, m.started, m.session)
}

// ownMark returns the mark of this process. It fails without /proc.
var ownMark = sync.OnceValues(func() (m mark, err error) {
	var namespace syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/pid", &namespace); err != nil {
		return m, os.NewSyscallError("stat", err)
	}
	self, err := procfs.Self()
	if err != nil {
		return m, err
	}
	stat, err := self.Stat()
	return mark{namespace.Ino, stat.PID, stat.Starttime, stat.Session}, err
})

// markEnviron returns the variables that mark the programs of this process.
func markEnviron() []string {
	own, err := ownMark()
	if err != nil {
		return nil // without /proc no process could read them either
	}
	return []string{markVariable + "=" + own.String()}
}

// endLeftovers kills the remaining processes of programs of an earlier process of the
// node, and waits until they have ended. A process that is ending has no environment, but
// still has its files and their locks, so endLeftovers waits for whole process groups.
func endLeftovers(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, leftoverDelay)
	defer cancel()
	killed := map[int]bool{} // process groups, by the number of their first process
	for {
		for _, p := range leftovers(node) {
			_ = syscall.Kill(-p.PGRP, syscall.SIGKILL) // fails if the group has ended
			killed[p.PGRP] = true
		}
		maps.DeleteFunc(killed, func(group int, _ bool) bool {
			return syscall.Kill(-group, 0) != nil || allZombies(group)
		})
		if len(killed) == 0 {
			return nil
		}
		select {
		case <-time.After(leftoverPoll):
		case <-ctx.Done():
			for group := range killed {
				return fmt.Errorf("not started: process group %d of an earlier run of node %s goes on: end it, as with kill -9 -- -%[1]d",
					group, node)
			}
		}
	}
}

// leftovers returns the remaining processes of programs of an earlier process of the
// node. A process with its own session stays on purpose. The own process group is no
// leftover, even if such a program started this node.
func leftovers(node string) (left []procfs.ProcStat) {
	own, err := ownMark()
	if err != nil {
		return nil
	}
	processes, _ := procfs.AllProcs()
	for _, p := range processes {
		environ, _ := p.Environ() // empty for other users' processes and zombies
		m, ok := markIn(environ, node)
		if !ok || m.namespace != own.namespace || m.lives() {
			continue
		}
		stat, err := p.Stat()
		if err == nil && stat.Session == m.session && stat.PGRP != syscall.Getpgrp() {
			left = append(left, stat)
		}
	}
	return left
}

// markIn returns the mark in the environment of a program of the node.
func markIn(environ []string, node string) (m mark, ok bool) {
	if !slices.Contains(environ, "DISTPROC_NODE="+node) {
		return m, false
	}
	for _, variable := range environ {
		if text, found := strings.CutPrefix(variable, markVariable+"="); found {
			_, _ = fmt.Sscanf(text, "%d.%d.%d.%d", &m.namespace, &m.pid, &m.started, &m.session)
			return m, m.String() == text
		}
	}
	return m, false
}

// lives reports whether the process of m still runs.
func (m mark) lives() bool {
	p, err := procfs.NewProc(m.pid)
	if err != nil {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.Starttime == m.started && stat.State != "Z" && stat.State != "X"
}
