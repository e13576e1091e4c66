package wire

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/procfs"
)

// hasCore reports whether the process has a core to poll on, as it was when it was first
// asked. With a quota of less than one, polling takes the time that the process needs for
// its work, and with a single processor that which its peers on the same one need (Speed in
// node/README.md).
var hasCore = sync.OnceValue(func() bool {
	self, err := procfs.Self()
	return runtime.NumCPU() > 1 && (err != nil || quota(self) >= 1)
})

// quota returns how many cores the control group of a process may use. It is infinite if
// there is no limit, or none that can be read. The files are described in the kernel's
// Documentation/admin-guide/cgroup-v2.rst and Documentation/scheduler/sched-bwc.rst.
func quota(p procfs.Proc) float64 {
	cores := math.Inf(1)
	groups, err := p.Cgroups()
	if err != nil {
		return cores
	}
	mounts, err := p.MountInfo()
	if err != nil {
		return cores
	}
	for _, g := range groups {
		var read func(dir string) float64
		var mounted func(m *procfs.MountInfo) bool
		switch {
		case slices.Contains(g.Controllers, "cpu"):
			read = quotaV1
			mounted = func(m *procfs.MountInfo) bool { _, cpu := m.SuperOptions["cpu"]; return m.FSType == "cgroup" && cpu }
		case g.HierarchyID == 0:
			read = quotaV2
			mounted = func(m *procfs.MountInfo) bool { return m.FSType == "cgroup2" }
		default:
			continue
		}
		if i := slices.IndexFunc(mounts, mounted); i >= 0 {
			cores = min(cores, quotaUp(mounts[i], g.Path, read))
		}
	}
	return cores
}

// quotaUp returns the lowest quota of a group and those above it, up to the root of the
// mount. In a container, that root may be the group itself.
func quotaUp(m *procfs.MountInfo, group string, read func(dir string) float64) float64 {
	cores := math.Inf(1)
	below := strings.TrimPrefix(filepath.Clean(group), strings.TrimSuffix(m.Root, "/"))
	for dir := filepath.Join("/", below); ; dir = filepath.Dir(dir) {
		cores = min(cores, read(filepath.Join(m.MountPoint, dir)))
		if dir == "/" {
			return cores
		}
	}
}

// quotaV1 reads the quota and the period, in µs, of a group of version 1. A quota of -1 is
// none.
func quotaV1(dir string) float64 {
	return ratio(readWord(dir, "cpu.cfs_quota_us", 0), readWord(dir, "cpu.cfs_period_us", 0))
}

// quotaV2 reads the quota and the period, in µs, of a group of version 2. The quota "max"
// is none.
func quotaV2(dir string) float64 {
	return ratio(readWord(dir, "cpu.max", 0), readWord(dir, "cpu.max", 1))
}

// readWord returns a word of a file, or "".
func readWord(dir, name string, i int) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if words := strings.Fields(string(text)); err == nil && i < len(words) {
		return words[i]
	}
	return ""
}

func ratio(quota, period string) float64 {
	q, err := strconv.ParseFloat(quota, 64)
	p, errPeriod := strconv.ParseFloat(period, 64)
	if err != nil || errPeriod != nil || q <= 0 || p <= 0 {
		return math.Inf(1)
	}
	return q / p
}
