//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFirstProcess runs a node as the first process of a container. What programs leave
// behind becomes its child then, and must not stay as a zombie.
func TestFirstProcess(t *testing.T) {
	t.Parallel()
	container := func(command ...string) *exec.Cmd {
		return exec.Command("unshare", append([]string{"--pid", "--fork", "--mount-proc", "--kill-child"}, command...)...)
	}
	if out, err := container("true").CombinedOutput(); err != nil {
		t.Skipf("no PID namespace for the test: %v: %s", err, out)
	}
	config := filepath.Join(t.TempDir(), "kinds.toml")
	if err := os.WriteFile(config, []byte(`
[kind.orphans]
source = "exec:sh -c 'sleep 60 >/dev/null 2>&1 & setsid true >/dev/null 2>&1 & echo hi'"
[kind.zombies]
source = "exec:sh -c 'cat /proc/[0-9]*/status 2>/dev/null | grep -c \"^State:.*zombie\"; true'"
ttl = "1ms"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	name := "2@" + testHost()
	cmd := container("distproc", "node", "--name", name, "--config", config)
	cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // and with it all of the namespace
		cmd.Wait()
	})
	(&process{t: t}).awaitPort(name)
	sh := start(t, "repl", "--attach", name)
	if got := sh.ask(`print(set([request(i, kind="orphans").value for i in range(20)]))`); got != `set(["hi"])` {
		t.Errorf("values %s", got)
	}
	sh.awaitAnswer(`print(request(1, kind="zombies").value)`, "0")
}
