package main

import (
	"os"
	"os/exec"
	"testing"
)

// TestTimeZones has a time zone on a machine that has no files of them.
func TestTimeZones(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	startNode(t, name)
	distproc, err := exec.LookPath("distproc")
	if err != nil {
		t.Fatal(err)
	}
	// Empty folders are mounted over those in which package time looks.
	const empty = `for d in /usr/share/zoneinfo /usr/share/lib/zoneinfo /usr/lib/locale/TZ /etc/zoneinfo; do
		if [ -d $d ]; then mount -t tmpfs none $d || exit 9; fi
	done
	[ ! -e /usr/share/zoneinfo/Asia/Tokyo ] && exec "$@"`
	run := func(args ...string) ([]byte, error) {
		cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", empty, "sh"}, args...)...)
		cmd.Env = append(os.Environ(), "DISTPROC_COOKIE=the cookie of the tests", "HOME="+t.TempDir(), "ZONEINFO=", "GOROOT=/nowhere")
		return cmd.CombinedOutput()
	}
	if out, err := run("true"); err != nil {
		t.Skipf("no mount namespace for the test: %v: %s", err, out)
	}
	out, err := run(distproc, "repl", "--attach", name, "-e", `print(time.from_timestamp(0).in_location("Asia/Tokyo").hour)`)
	if string(out) != "9\n" || err != nil {
		t.Errorf("%s, %v", out, err)
	}
}
