package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestShellAfterChange changes the cookie and the certificates of a node with a shell: the
// shell goes on, and so does the next one when its process is killed.
func TestShellAfterChange(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), "1@"+testHost()
	cookies := filepath.Join(dir, "cookie")
	writeText(t, cookies, "the first cookie of the test")
	after, used := writeCertificate(t, t.TempDir()), writeCertificate(t, dir)
	cmd := exec.Command("distproc", "repl", "--name", name, "--cookie-file", cookies,
		"--tls-cert", used.Cert, "--tls-key", used.Key, "--tls-ca", used.CA)
	s := startScreen(t, cmd)
	s.await(")1> ")
	child := childOf(t, cmd.Process.Pid)
	writeText(t, cookies, "the second cookie of the test")
	copyText(t, after.Cert, used.Cert)
	copyText(t, after.Key, used.Key)
	cmd.Process.Signal(syscall.SIGHUP)
	s.await("cookies changed")
	s.await("certificates changed")
	s.enter("node()")
	s.await(name, ")2> ")
	syscall.Kill(child, syscall.SIGKILL)
	s.await("** (EvaluatorError) something killed it", ")1> ")
	s.enter("node()")
	s.await(name, ")2> ")
}
