//go:build unix

package repl

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
)

// TestLocalFile has a file in the working folder, which runs only while its content is one
// that the user has allowed, and only in that folder.
func TestLocalFile(t *testing.T) {
	t.Parallel()
	dir, other, allowed := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "state", "allowed")
	path := filepath.Join(dir, "local.star")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The shell shows what it does before the first prompt, and then what allow shows.
	shell := func(path, before, line, after string) {
		t.Helper()
		s := startSession(t, &pty.Winsize{Rows: 24, Cols: 300}, "DISTPROC_TEST_LOCAL="+path, "DISTPROC_TEST_ALLOWED="+allowed)
		s.wait(`^` + before + `distproc\S+1>$`)
		if line != "" {
			s.send(line + "\r")
			s.wait(`> ` + `\S+\n` + after + `distproc\S+[12]>$`)
		}
		s.send("exit()\r")
		s.left(0)
	}
	const notRun = `\(\S+local.star of this folder is not run: look at it, then allow\(\) runs it, now and until it changes\)\n`
	shell(path, "", "", "")
	shell(path, "", "allow()", `\*\* \(Error\) allow: \S+: no such file or directory\n(.*\n)*`)
	write(path, "print('runs')\n")
	shell(path, notRun, "", "")
	shell(path, notRun, "allow()", "runs\n")
	shell(path, "runs\n", "", "")
	write(path, "print('changed')\n")
	shell(path, notRun, "", "")
	write(path, "print('runs')\n")
	shell(path, "runs\n", "allow(False)", "")
	shell(path, notRun, "allow()", "runs\n")

	copied := filepath.Join(other, "local.star")
	write(copied, "print('runs')\n")
	shell(copied, notRun, "", "")
	link := filepath.Join(other, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	shell(filepath.Join(link, "local.star"), "runs\n", "", "")

	const open = `\*\* \(Error\) (allow: )?\S+ is not run, as others can write to it \(mode 0620\); run: chmod go-w \S+\n(.*\n)*`
	os.Chmod(path, 0o620)
	shell(path, open, "allow()", open)
	os.Chmod(path, 0o600)
	if os.Getuid() == 0 {
		os.Chown(path, 1, 1)
		shell(path, `\*\* \(Error\) \S+ is not run, as another user owns it; --init \S+ runs it\n`, "", "")
		os.Chown(path, 0, 0)
	}
	records, err := os.ReadDir(allowed)
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v; want one record", records, err)
	}
	record := filepath.Join(allowed, records[0].Name())
	if info, err := os.Stat(record); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
	if info, err := os.Stat(allowed); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want mode 0700", info.Mode(), err)
	}
	if os.Getuid() == 0 { // a record that the user has not made
		os.Chown(record, 1, 1)
		shell(path, notRun, "", "")
	}
}

// TestAllowInAProgram allows the file without running it, and no program runs it.
func TestAllowInAProgram(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("local", []byte("print('runs')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Local: "local", Allowed: filepath.Join(t.TempDir(), "allowed")}
	for range 2 {
		out, errs, err := run(t, cfg, "allow()\n1\nsave('s', force=True)\nread('s')") // which leaves allow out
		if want := "1\n(1 input in s; load(\"s\") runs what is in it)\n\"1\\n\"\n"; out != want || errs != "" || err != nil {
			t.Errorf("%v %s%s", err, out, errs)
		}
	}
	for want, cfg := range map[string]Config{
		"allow: this shell runs no file of its folder, because of --init": {Allowed: "allowed"},
		"allow: there is no folder to remember it in: HOME is not set":    {Local: "local"},
	} {
		if _, errs, _ := run(t, cfg, "allow()"); errs != "<stdin>:1:6: "+want+"\n" {
			t.Errorf("%s, want %s", errs, want)
		}
	}
}
