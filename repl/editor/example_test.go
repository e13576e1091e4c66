package editor_test

import (
	"context"
	"fmt"
	"os"

	"github.com/distproc/distproc/repl/editor"
)

// A program reads from os.Stdin. Here it is a pipe, which is no terminal.
func ExampleOpen() {
	in, _, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := editor.Open(editor.Config{In: in, Out: os.Stdout})
	if err != nil || e == nil {
		fmt.Println("not at a terminal:", err)
		return
	}
	defer e.Close()
	for {
		line, err := e.ReadLine(context.Background(), func() string { return "> " }, "")
		if err != nil {
			return
		}
		fmt.Println("got", line)
	}
	// Output: not at a terminal: inappropriate ioctl for device
}
