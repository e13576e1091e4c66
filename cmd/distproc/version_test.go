package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/distproc/distproc/wire"
)

func TestDescribeBuild(t *testing.T) {
	t.Parallel()
	lowest, highest := wire.Versions()
	system := fmt.Sprintf("protocol %d-%d, ", lowest, highest) + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		version string
		vcs     []string
		want    string
	}{
		"go install of a tag":    {"v1.2.3", nil, "v1.2.3 (" + system + ")"},
		"go install of a commit": {"v0.0.0-20260102030405-0123456789ab", nil, "v0.0.0-20260102030405-0123456789ab (0123456789ab, 2026-01-02, " + system + ")"},
		"after a tag":            {"v1.2.4-0.20260102030405-0123456789ab", nil, "v1.2.4-0.20260102030405-0123456789ab (0123456789ab, 2026-01-02, " + system + ")"},
		"no pseudo-version":      {"v1.2.4-rc-1-0123456789ab", nil, "v1.2.4-rc-1-0123456789ab (" + system + ")"},
		"go build of a tag":      {"v1.2.3", []string{commit, "2026-01-02T03:04:05Z", "false"}, "v1.2.3 (0123456789ab, 2026-01-02, " + system + ")"},
		"with changes":           {"v1.2.3+dirty", []string{commit, "2026-01-02T03:04:05Z", "true"}, "v1.2.3 (0123456789ab, 2026-01-02, " + system + ") (modified)"},
		"without git":            {"(devel)", nil, "devel (" + system + ")"},
		"without a module":       {"", nil, "devel (" + system + ")"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.version}}
		for i, key := range []string{"vcs.revision", "vcs.time", "vcs.modified"}[:len(c.vcs)] {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: key, Value: c.vcs[i]})
		}
		if got := describeBuild(info).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestVersionOutput has the same line from version and --version, and its parts as JSON.
func TestVersionOutput(t *testing.T) {
	t.Parallel()
	run := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		root := rootCommand()
		root.SetArgs(args)
		root.SetOut(&out)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	line := run("version")
	if flag := run("--version"); flag != line || !strings.HasPrefix(line, "distproc ") || strings.Count(line, "\n") != 1 {
		t.Errorf("version prints %q, --version %q", line, flag)
	}
	var b build
	if err := json.Unmarshal([]byte(run("version", "--json")), &b); err != nil {
		t.Fatal(err)
	}
	if line != "distproc "+b.String()+"\n" || b.Go != runtime.Version() || b.OS == "" || b.Arch == "" {
		t.Errorf("%+v as JSON, %q as text", b, line)
	}
}
