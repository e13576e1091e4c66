//go:build !faults || !unix

package main

import "github.com/spf13/cobra"

// hiddenCommands returns no commands; see faults.go.
func hiddenCommands() []*cobra.Command { return nil }
