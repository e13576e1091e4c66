package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// evaluatorMemory is how many bytes an evaluator may map beside what a Go program maps
// when it starts. The shell stops a program long before; see [repl.Config].
const evaluatorMemory = 4 << 30

// limitMemory has the system refuse this process memory beyond evaluatorMemory, and choose
// it before all others if it has none left itself.
func limitMemory() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // without /proc there is no way
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return
	}
	size, _, _ := strings.Cut(string(statm), " ")
	pages, err := strconv.ParseUint(size, 10, 64)
	if err != nil {
		return
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) != nil {
		return
	}
	limit.Cur = min(limit.Cur, pages*uint64(os.Getpagesize())+evaluatorMemory)
	_ = unix.Setrlimit(unix.RLIMIT_AS, &limit) // lowering it is never refused
}

// startUnlimited starts a program of the user's, such as an editor, without the limits of
// the evaluator.
func startUnlimited(cmd *exec.Cmd) error {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil {
		without := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		_ = unix.Setrlimit(unix.RLIMIT_AS, &without) // up to Max it is never refused
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_AS, &limit) }()
	}
	err := cmd.Start()
	if score, e := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", os.Getppid())); err == nil && e == nil {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), score, 0) // it may have ended
	}
	return err
}
