//go:build !unix

package source

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

// killGroup kills p only, because this system has no groups.
func killGroup(p *os.Process) error { return p.Kill() }

// awaitGroup does nothing, because this system has no groups.
func awaitGroup(*os.Process) {}
