package wire

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// TestNoCoreNoPoll has a process with less than a core: its readers do not poll.
func TestNoCoreNoPoll(t *testing.T) {
	defer func(had func() bool) { hasCore = had }(hasCore)
	near, _ := overTCP(t)
	for _, has := range []bool{true, false} {
		hasCore = func() bool { return has }
		if _, polls := polled(near).(*polledConn); polls != has {
			t.Errorf("with a core: %v; polls: %v", has, polls)
		}
	}
}

// TestOneProcessorNoPoll runs this test again in processes that may use one processor, and
// all of them.
func TestOneProcessorNoPoll(t *testing.T) {
	const variable = "DISTPROC_HAS_CORE"
	if os.Getenv(variable) != "" {
		fmt.Println("has core:", hasCore())
		return
	}
	runtime.LockOSThread() // whose processors the new process gets
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)
	for cpu := range runtime.NumCPU() * 64 {
		if all.IsSet(cpu) && one.Count() == 0 {
			one.Set(cpu)
		}
	}
	for _, set := range []unix.CPUSet{all, one} {
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestOneProcessorNoPoll$")
		cmd.Env = append(os.Environ(), variable+"=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintln("has core:", set.Count() > 1 && hasCore())
		if !strings.HasPrefix(string(out), want) {
			t.Errorf("with %d processors it said %q, want %q", set.Count(), out, want)
		}
	}
}

// TestQuota reads the quotas of processes in control groups of both versions.
func TestQuota(t *testing.T) {
	t.Parallel()
	const v1 = "32 31 0:29 ROOT MOUNT rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	const v2 = "32 31 0:29 ROOT MOUNT rw,relatime - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		cgroup, mounts, root string
		files                map[string]string // below the mount
		want                 float64
	}{
		"none":                   {"", "", "/", nil, math.Inf(1)},
		"no mount":               {"0::/a\n", "", "/", nil, math.Inf(1)},
		"v2, no limit":           {"0::/a\n", v2, "/", map[string]string{"a/cpu.max": "max 100000\n"}, math.Inf(1)},
		"v2":                     {"0::/a\n", v2, "/", map[string]string{"a/cpu.max": "50000 100000\n"}, 0.5},
		"v2, the group above":    {"0::/a/b\n", v2, "/", map[string]string{"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1.5},
		"v2, of a container":     {"0::/a/b\n", v2, "/a/b", map[string]string{"cpu.max": "50000 200000\n"}, 0.25},
		"v2, garbage":            {"0::/a\n", v2, "/", map[string]string{"a/cpu.max": "x\n"}, math.Inf(1)},
		"v2, a name with dots":   {"0::/../a\n", v2, "/", map[string]string{"a/cpu.max": "50000 100000\n"}, 0.5},
		"v1, no limit":           {"1:cpu,cpuacct:/a\n0::/\n", v1, "/", map[string]string{"a/cpu.cfs_quota_us": "-1\n", "a/cpu.cfs_period_us": "100000\n"}, math.Inf(1)},
		"v1":                     {"1:cpu,cpuacct:/a\n0::/\n", v1, "/", map[string]string{"a/cpu.cfs_quota_us": "200000\n", "a/cpu.cfs_period_us": "100000\n"}, 2},
		"v1, another controller": {"1:memory:/a\n", v1, "/", map[string]string{"a/cpu.cfs_quota_us": "1\n", "a/cpu.cfs_period_us": "100000\n"}, math.Inf(1)},
	} {
		dir := t.TempDir()
		mount := filepath.Join(dir, "mount")
		write := func(name, text string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(dir, "proc/1/cgroup"), c.cgroup)
		write(filepath.Join(dir, "proc/1/mountinfo"), strings.NewReplacer("ROOT", c.root, "MOUNT", mount).Replace(c.mounts))
		for name, text := range c.files {
			write(filepath.Join(mount, name), text)
		}
		fs, err := procfs.NewFS(filepath.Join(dir, "proc"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := fs.Proc(1)
		if err != nil {
			t.Fatal(err)
		}
		if got := quota(p); got != c.want {
			t.Errorf("%s: %v cores, want %v", name, got, c.want)
		}
	}
}
