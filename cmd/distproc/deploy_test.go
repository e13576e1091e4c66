//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDeployFlags looks for each flag and each command that the files of deploy name. Those
// files are decoded by the module in .ci/deploy.
func TestDeployFlags(t *testing.T) {
	t.Parallel()
	commands := map[string]*cobra.Command{}
	for _, c := range rootCommand().Commands() {
		commands[c.Name()] = c
	}
	flag := regexp.MustCompile(`(?:^|[\s"'(])--([a-z][a-z-]*)`)
	variable := regexp.MustCompile(`DISTPROC_([A-Z_]+)`)
	command := regexp.MustCompile(`distproc"?,? "?([a-z]+)"?,?((?: "?--[a-z-]+)*)`)
	// Docker, kubectl, systemctl and COPY have these flags.
	others := []string{"network", "rm", "now", "from", "chown", "interval", "timeout", "start-period", "retries", "from-file", "help"}
	seen := 0
	for _, name := range []string{"distproc.service", "Dockerfile", "kubernetes.yaml"} {
		text := readDocument(t, "cmd/distproc/deploy/"+name)
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if slices.Contains(others, m[1]) {
				continue
			}
			if seen++; !slices.ContainsFunc([]string{"node", "status"}, func(c string) bool { return has(commands[c], m[1]) }) {
				t.Errorf("%s: there is no flag --%s", name, m[1])
			}
		}
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			f := strings.ToLower(strings.ReplaceAll(strings.Trim(m[1], "_"), "_", "-"))
			if f != "cookie" && f != "http-port" && !has(commands["node"], f) {
				t.Errorf("%s: DISTPROC_%s stands for no flag", name, m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			if (m[1] == "node" || m[1] == "status" || m[1] == "cookie") && commands[m[1]] == nil {
				t.Errorf("%s: there is no command %s", name, m[1])
			}
		}
	}
	if seen < 12 {
		t.Errorf("%d flags found, want more", seen)
	}
}

func has(c *cobra.Command, flag string) bool {
	if c == nil {
		return false
	}
	found := false
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { found = found || f.Name == flag })
	return found
}

// TestUnit has systemd check the unit. Its exposure, of 10, is at most 1.5.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze, of the package systemd: the unit is not checked")
	}
	program, err := exec.LookPath("distproc")
	if err != nil {
		t.Fatal(err)
	}
	text := readDocument(t, "cmd/distproc/deploy/distproc.service")
	changed := strings.Replace(text, "ExecStart=/usr/local/bin/distproc", "ExecStart="+program, 1)
	unit := filepath.Join(t.TempDir(), "distproc.service")
	if err := os.WriteFile(unit, []byte(changed), 0o600); err != nil || changed == text {
		t.Fatalf("%v, or ExecStart is another one", err)
	}
	for _, args := range [][]string{{"verify", unit}, {"security", "--offline=true", "--threshold=15", unit}} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
