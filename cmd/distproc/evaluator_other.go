//go:build !linux

package main

// limitMemory does nothing: the shell's own limits must do.
func limitMemory() {}
