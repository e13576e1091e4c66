//go:build !linux

package page

import "syscall"

var endsWithTest = &syscall.SysProcAttr{}
