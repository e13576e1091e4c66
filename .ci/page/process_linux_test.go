package page

import "syscall"

// endsWithTest has a process killed when the test ends in a way in which it cleans up nothing.
var endsWithTest = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
