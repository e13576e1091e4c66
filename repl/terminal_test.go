//go:build unix

package repl

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTerminalSession(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("request(1)  # comment\r")
	s.wait(`\{200, 2@127.0.0.1}\n`)
	s.prompt("2", "")
	s.send("reqest(1)\r")
	s.wait(`\n\*\* \(NameError\) undefined: reqest \(did you mean request\?\)\n   reqest\(1\)\n   \^\n`)
	s.prompt("2", "") // an error does not count
	s.send("\r")
	s.wait(`2>\n.*2>$`)
	s.send("for i in range(2):\r")
	s.wait(`\n\.{8}\(1@127.0.0.1\)2>$`)
	s.send("\x15\tprint(i)\r")
	s.wait(`\n\.{8}\(1@127.0.0.1\)2>     print\(i\)\n\.{8}\(1@127.0.0.1\)2>$`)
	s.send("\r")
	s.wait(`\n0\n1\n`)
	s.prompt("3", "")
	s.send("\x1b[A") // Up
	s.prompt("3", "for i in range(2):⏎    print(i)")
	s.send("\r")
	s.wait(`\n0\n1\n(.*\n)*0\n1\n`)
	s.prompt("4", "")
	s.send("sleeep\x1b[D\x1b[D\x7f\x05(0.01)\r") // Left, Left, Backspace, Ctrl-E
	s.wait(`sleep\(0.01\)\n`)
	s.prompt("5", "")
	s.send("exit(7)\r")
	s.left(7)
}

// However the shell ends, the terminal is as it was.
func TestTerminalRestored(t *testing.T) {
	t.Parallel()
	signal := func(sig syscall.Signal) func(*session) {
		return func(s *session) { s.cmd.Process.Signal(sig) }
	}
	keys := func(keys string) func(*session) { return func(s *session) { s.send(keys) } }
	for name, test := range map[string]struct {
		running string
		leave   func(*session)
		status  int
	}{
		"exit":               {leave: keys("exit()\r")},
		"exit status":        {leave: keys("exit(3)\r"), status: 3},
		"bare exit":          {leave: keys("exit\r")},
		"Ctrl-D":             {leave: keys("\x04")},
		"Ctrl-C twice":       {leave: func(s *session) { s.send("\x03"); s.wait(`again`); s.prompt("1", ""); s.send("\x03") }},
		"Ctrl-C at once":     {leave: keys("\x03\x03")},
		"SIGTERM":            {leave: signal(syscall.SIGTERM)},
		"SIGHUP":             {leave: signal(syscall.SIGHUP)},
		"SIGQUIT":            {leave: signal(syscall.SIGQUIT), status: 131},
		"SIGQUIT at sleep":   {running: "sleep(600)", leave: signal(syscall.SIGQUIT), status: 131},
		"SIGTERM at sleep":   {running: "sleep(600)", leave: signal(syscall.SIGTERM)},
		"SIGTERM at loop":    {running: "while True: pass\r", leave: signal(syscall.SIGTERM)},
		"SIGTERM half typed": {leave: func(s *session) { s.send("x = "); s.prompt("1", "x ="); s.cmd.Process.Signal(syscall.SIGTERM) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSession(t, normal)
			s.prompt("1", "")
			if test.running != "" {
				s.send(test.running + "\r")
				s.waitRunning()
			}
			test.leave(s)
			s.left(test.status)
			if n := len(s.written()); n > 4<<10 {
				t.Errorf("the shell wrote %d bytes", n)
			}
		})
	}
	t.Run("panic", func(t *testing.T) {
		s := startSession(t, normal, "DISTPROC_TEST_SHELL=panic")
		s.left(2)
	})
}

func TestTerminalHangsUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"1", "nohup"} {
		for _, typed := range []string{"x =", "sleep(600)\r", "while True: pass\r\r", "top()\r", "\x12sl", pasteBegin} {
			s := startSession(t, normal, "DISTPROC_TEST_SHELL="+mode)
			s.prompt("1", "")
			s.send(typed)
			switch {
			case strings.HasPrefix(typed, "top"):
				s.wait(`any key leaves`)
			case strings.HasSuffix(typed, "\r"):
				s.waitRunning()
			case typed == "x =":
				s.prompt("1", typed)
			}
			s.tty.Close()
			s.master.Close()
			select {
			case <-s.done:
			case <-time.After(patience):
				t.Fatalf("%s: the shell outlives its terminal after %q", mode, typed)
			}
		}
	}
}

// Ctrl-C stops what runs, soon, and the shell goes on.
func TestInterruptRunning(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	const begins = "print('be' + 'gins')"
	for _, code := range []string{begins + "; sleep(600)\r", "if True:\r\t" + begins + "\r\twhile True: pass\r\r"} {
		s.prompt("1", "")
		s.send(code)
		s.wait(`\nbegins$`)
		start := time.Now()
		s.send("\x03")
		s.wait(`\*\* \(Interrupted\) interrupted\n(.*\n)*.*1>$`)
		if d := time.Since(start); d > 10*time.Second { // 7 ms on an idle machine
			t.Errorf("%q: it took %v", code, d)
		} else {
			t.Logf("%q: %v", code, d)
		}
		s.send("\x0c") // Ctrl-L clears the screen
		s.wait(`^distproc\S+1>$`)
	}
	// Ctrl-C also drops the lines typed ahead: the next statement, the line that has ended a
	// block, and more lines than the terminal holds. The editor may read it with them.
	const dropped = "print('drop' + 'ped')\r"
	for _, code := range []string{
		begins + "; sleep(600)\r" + dropped,
		"if True:\r\t" + begins + "\r\tsleep(600)\r" + dropped + dropped,
		begins + "; sleep(600)\r" + strings.Repeat(dropped, 10_000),
	} {
		for _, apart := range []bool{true, false} {
			s := startSession(t, normal)
			s.prompt("1", "")
			if !apart {
				code += "\x03"
			}
			s.master.WriteString(code)
			if apart {
				s.wait(`\nbegins$`)
				s.send("\x03")
			}
			s.wait(`(interrupted|\^C)\n(.*\n)*.*1>$`) // nothing has run yet, or it has begun
			s.send("print('ke' + 'pt')\r")
			s.wait(`\nkept\n`)
			if strings.Contains(s.written(), "\ndropped") {
				t.Errorf("a line ran that was typed before Ctrl-C:\n%s", s.text())
			}
		}
	}
}

// TestLeavingByCtrlC leaves at the second Ctrl-C, if it comes soon and no other key before
// it.
func TestLeavingByCtrlC(t *testing.T) {
	t.Parallel()
	type press struct {
		idle, pressed bool
		after         time.Duration
	}
	for _, test := range []struct {
		presses []press
		want    answer
	}{
		{[]press{{idle: true}}, warns},
		{[]press{{idle: true}, {idle: true, after: secondChance - 1}}, leaves},
		{[]press{{idle: true}, {idle: true, after: secondChance}}, warns},
		{[]press{{idle: true}, {idle: true, after: secondChance}, {idle: true}}, leaves},
		{[]press{{idle: true}, {idle: true, pressed: true}}, warns},
		{[]press{{idle: true}, {}, {idle: true}}, warns},
		{[]press{{}}, goesOn},
	} {
		var l leaving
		var got answer
		now := time.Now()
		for _, p := range test.presses {
			now = now.Add(p.after)
			got = l.interrupted(p.idle, p.pressed, now)
		}
		if got != test.want {
			t.Errorf("%v: %v, want %v", test.presses, got, test.want)
		}
	}
}

// TestLateCtrlC presses Ctrl-C again when 2 s have gone by: it does not leave.
func TestLateCtrlC(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	const warning = `\^C\n\(Ctrl-C again, Ctrl-D or exit\(\) leaves\)\n`
	s.send("\x03")
	s.wait(warning + `.*1>$`)
	time.Sleep(2 * time.Second) // as the README says
	s.send("\x03")
	s.wait(warning + `.*1> ` + warning + `.*1>$`)
	s.send("\x03")
	s.left(0)
}

func TestInterruptTyping(t *testing.T) {
	t.Parallel()
	s := startSession(t, normal)
	s.prompt("1", "")
	s.send("exit(\x03")
	s.wait(`1> exit\(\^C\n.*1>$`)
	s.send("if True:\r")
	s.wait(`\.\.\.\(1@127.0.0.1\)1>$`)
	s.send("exit(9)\x03")
	s.wait(`exit\(9\)\^C\n` + `distproc\S+1>$`)
	s.send("if True:\r")
	s.wait(`\.\.\.\(1@127.0.0.1\)1>$`)
	s.send("#iex:break\r")
	s.wait(`break\ndistproc\S+1>$`)
	s.cmd.Process.Signal(os.Interrupt) // as kill -INT sends it
	s.wait(`\^C\n\(Ctrl-C again, Ctrl-D or exit\(\) leaves\)\ndistproc\S+1>$`)
	s.send("1\r")
	s.prompt("2", "")
	s.send("\x03")
	s.wait(`leaves\)\ndistproc\S+2>$`)
	s.send("a\x7f\x03") // a key between
	s.wait(`leaves\)\ndistproc\S+2> \^C\n\(Ctrl-C again.*\ndistproc\S+2>$`)
	s.send("a\x04\r") // Ctrl-D leaves on an empty line only
	s.wait(`undefined: a`)
	s.prompt("2", "")
	s.send("\x04")
	s.left(0)
}

// Ctrl-Z stops the shell with the terminal as it was, while a line is typed and while
// something runs; fg brings the line back.
func TestSuspend(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh, whose job the shell could be")
	}
	const script = `set -m; "$0"; while [ $? -gt 128 ]; do echo "is stopped"; read x; echo "goes on"; fg >/dev/null; done`
	s := startCommand(t, exec.Command(sh, "-c", script, os.Args[0]), normal)
	restored := func() {
		t.Helper()
		state, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
		if err != nil || *state != s.before {
			t.Errorf("stopped, the terminal is %+v, was %+v; %v", state, s.before, err)
		}
	}
	s.prompt("1", "")
	s.send("x = 4")
	s.prompt("1", "x = 4")
	s.send("\x1a")
	s.wait(`is stopped$`)
	restored()
	s.send("\r")
	s.prompt("1", "x = 4")
	s.send("2\r")
	s.prompt("2", "")
	s.send("print('be' + 'gins'); sleep(2); x\r")
	s.wait(`\nbegins$`)
	s.send("\x1a")
	s.wait(`\nbegins\n(.*\n)*is stopped$`)
	restored()
	s.send("\r")
	s.wait(`goes on\n42\n`)
	s.prompt("3", "")
	s.send("exit()\r")
	s.left(0)
}
