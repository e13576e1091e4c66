//go:build unix && !linux

package main

import "os/exec"

// limitMemory does nothing: the shell's own limits must do.
func limitMemory() {}

// startUnlimited starts a program of the user's.
func startUnlimited(cmd *exec.Cmd) error { return cmd.Start() }
