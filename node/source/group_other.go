//go:build !unix

package source

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

// killGroup kills p alone: there are no groups.
func killGroup(p *os.Process) error { return p.Kill() }

// awaitGroup does not wait: a program has no group.
func awaitGroup(*os.Process) {}
