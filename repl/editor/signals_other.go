//go:build !unix

package editor

// awaitSignals does nothing: no other program gets the terminal.
func awaitSignals() {}
