//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sampleOf returns one of three values of a flag: as the command line has it, and as TOML. None
// is the default.
func sampleOf(f *pflag.Flag, i int) (value, inTOML string) {
	switch typeOf(f) {
	case aBool:
		value = fmt.Sprint(f.DefValue == "false")
		return value, value
	case aNumber:
		value = fmt.Sprint(17 + i)
		return value, value
	case aList:
		return fmt.Sprintf("%d@a,b@%d", i, i), fmt.Sprintf("['%d@a', 'b@%d']", i, i)
	case aDuration:
		value = fmt.Sprintf("%ds", 17+i)
	default:
		value = fmt.Sprint(17 + i)
		if f.Value.Type() == (*size)(nil).Type() {
			value = fmt.Sprintf("%d MiB", 17+i)
		}
	}
	return value, fmt.Sprintf("%q", value)
}

// TestSettingOrigins gives each flag of a node and of a shell a value in a file, in the
// environment and on the command line: the later one counts. Flags that another change adds
// are among them.
func TestSettingOrigins(t *testing.T) {
	for _, command := range []string{"node", "repl", "config"} {
		for name, f := range flagsOf(t, command) {
			if command == "config" && name == "json" || notInFile[name] != "" {
				continue
			}
			t.Run(command+"/"+name, func(t *testing.T) {
				var args []string
				inFile, text := sampleOf(f, 0)
				path := filepath.Join(t.TempDir(), "n.toml")
				writeText(t, path, "# settings\n[node]\n"+keyOf(name)+" = "+text+"\n")
				check := func(want, from, where string) {
					t.Helper()
					cmd, err := withFlags(command, append([]string{"--config=" + path}, args...))
					if err != nil {
						t.Fatal(err)
					}
					got := cmd.Flags().Lookup(name)
					value := strings.Trim(got.Value.String(), "[]")
					value = strings.TrimSuffix(value, ".0 MiB") // a size of 17 MiB is shown so
					if is, at := originOf(got); value != strings.TrimSuffix(want, ".0 MiB") && value+" MiB" != want || is != from || at != where {
						t.Errorf("%s from %s %s, want %s from %s %s", got.Value, is, at, want, from, where)
					}
				}
				check(inFile, fromFileSetting, path+":3")
				env, _ := sampleOf(f, 1)
				t.Setenv(variableOf(name), env)
				check(env, fromVariable, variableOf(name))
				flag, _ := sampleOf(f, 2)
				args = []string{"--" + name + "=" + flag}
				check(flag, fromFlag, "")
				writeText(t, path, "")
				args = nil
				os.Unsetenv(variableOf(name))
				check(strings.Trim(f.DefValue, "[]"), fromDefault, "")
			})
		}
	}
}

// withFlags does what a command does before it runs.
func withFlags(command string, args []string) (*cobra.Command, error) {
	cmd, _, err := rootCommand().Find([]string{command})
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err == nil {
		err = fromEnvironment(cmd.Flags())
	}
	if err == nil {
		err = fromFile(cmd)
	}
	return cmd, err
}

// TestSettingsRefused has files with wrong settings.
func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`name = 3`:                    `name: 3: write a string, in quotes`,
		`drain-timeout = "8s"`:        `drain-timeout: no such key; did you mean drain_timeout?`,
		`busy_poll = "no"`:            `busy_poll: "no": write true or false, without quotes`,
		`max_clients = "12"`:          `max_clients: "12": write a number, without quotes`,
		`max_clients = [12]`:          `max_clients: a list: write a number, without quotes`,
		`max_memory = 500`:            `max_memory: 500: write a string, in quotes`,
		`max_memory = "much"`:         `max_memory: "much" is no size; write it like 512MiB or 2GB`,
		`prot = 4`:                    `prot: no such key; did you mean port?`,
		`weight = 4`:                  `weight: no such key; distproc config shows those there are`,
		`cookie = "0123456789abcdef"`: `cookie: no such key; did you mean cookie_file?`,
		`ttl = 5`:                     `ttl: 5 has no unit; for seconds write "5s"`,
		`reap_after = 5.5`:            `reap_after: 5.5 has no unit; for seconds write "5.5s"`,
		`drain_delay = "soon"`:        `drain_delay: "soon" is no duration; write it like "500ms", "30s" or "1h30m"`,
		`drain_delay = "forever"`:     `drain_delay: "forever" is no duration; write it like "500ms", "30s" or "1h30m"`,
		`join = [3]`:                  `join: 3 is no string; write it like ["3"]`,
		`join = {a = 1}`:              `join: a table: write a list of strings, ["…", "…"]`,
		`execute = "1"`:               `execute: not in a file: it is what one shell runs`,
		`attach = "1@h"`:              `attach: not in a file: a shell on a running node is no node`,
		`config = "x"`:                `config: not in a file: it names this file`,
		`help = true`:                 `help: not in a file: it is no setting`,
	} {
		path := filepath.Join(t.TempDir(), "n.toml")
		writeText(t, path, "[node]\n"+line+"\nlog_level = 'info'\n")
		_, errs := checkFile(path)
		if len(errs) != 1 || errs[0].Error() != path+":2: node."+want {
			t.Errorf("%s: %v, want node.%s", line, errs, want)
		}
		if _, err := withFlags("node", []string{"--config", path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: a node takes it: %v", line, err)
		}
	}
}

// TestCheckFile finds all that is wrong.
func TestCheckFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "n.toml")
	for text, want := range map[string]string{
		"": ": 0 kinds, 0 settings of [node]",
		"[node]\njoin = ['1@a', '2@b']\nvoters = []\ncolor = 'never'\n[kind.a]\nsource = 'random'\n": ": 1 kind, 3 settings of [node]",
		"[node]\nprot = 1\nttl = '0s'\n[nodes]\n[kind.a]\nsurce = 'x'\n[kind.b]\nsource = 'random'\nttl = 'soon'\n": `:2: node.prot: no such key; did you mean port?
:3: node.ttl: --ttl 0s: a worker must live for some time; write 30s, say, or forever
:4: nodes: no such key; did you mean node?
:5: kind.a.source: say where values come from: source = "exec:PROGRAM ARGS…", an http(s):// address with {id} in it, or "random" for a trial
:6: kind.a.surce: no such key; did you mean source?
:9: kind.b.ttl: "soon" is no duration; write it like "500ms", "30s" or "1h30m", or "forever"`,
		"[node]\nname = '1'\n":           `:2: node.name: node name "1": no @; write NAME@HOST, such as 1@127.0.0.1`,
		"[node]\njoin = '1'\n":           `:2: node.join: --join: node name "1": no @; write NAME@HOST, such as 1@127.0.0.1, or HOST:PORT`,
		"[node]\nhttp_open = true\n":     `:2: node.http_open: --http-token-file, --http-open, --http-profile, --http-page and --http-host are of no use without --http HOST:PORT`,
		"[node]\ntls_verify_name = true": `:2: node.tls_verify_name: --tls-verify-name: there is no certificate to verify without mutual TLS; pass --tls-cert, --tls-key and --tls-ca`,
		"[node]\nrouting = 'dice'\n":     `:2: node.routing: routing "dice": say modulo or rendezvous`,
		"[node]\ntiming = 'slow'\n":      `:2: node.timing: timing "slow": it is local, lan or wan`,
		"[node\n":                        `:1: expected ']' to close table name`,
		"[node]\nname = 'a'\nname = 'b'": `:3: name: key name is already defined`,
		"node = 3":                       `:1: node: it cannot be a TOML integer`,
	} {
		writeText(t, path, text)
		said, errs := checkFile(path)
		var got []string
		for _, err := range errs {
			got = append(got, strings.TrimPrefix(err.Error(), path))
		}
		if len(errs) == 0 {
			got = []string{strings.TrimPrefix(said, path)}
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s\ngives\n%s\nwant\n%s", text, strings.Join(got, "\n"), want)
		}
	}
}

// TestReloadSettings changes settings in the file of a running node. Some take effect at
// SIGHUP. The node says once that another needs a restart. The command line wins over the
// file, and a wrong file changes nothing.
func TestReloadSettings(t *testing.T) {
	t.Parallel()
	path, name := filepath.Join(t.TempDir(), "n.toml"), "1@"+testHost()
	write := func(settings string) {
		writeText(t, path, "[node]\nname = '"+name+"'\n"+settings+"[kind.a]\nsource = 'random'\n")
	}
	write("max_clients = 7\nttl = '1m'\nrouting = 'modulo'\n")
	n := start(t, "node", "--config", path, "--routing", "rendezvous")
	n.awaitPort(name)
	hangups := 0
	hangup := func() {
		t.Helper()
		hangups++
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	applied := func() {
		t.Helper()
		hangup()
		n.awaitLog(hangups, `msg="kinds changed"`)
	}
	applied()
	write("max_clients = 8\nttl = '2m'\nlog_level = 'debug'\nrouting = 'modulo'\n")
	applied()
	n.awaitLog(2, `msg="setting changed"`)
	for _, want := range []string{"key=ttl from=1m0s to=2m0s", "key=log_level from=info to=debug"} {
		if n.log.count(`msg="setting changed"`, want) != 1 {
			t.Errorf("no %s", want)
		}
	}
	applied()
	const restart = `msg="a setting has changed, and needs a restart of the node"`
	if n.log.count(restart) != 1 || n.log.count(restart, "key=max_clients from=7 to=8") != 1 {
		t.Errorf("max_clients is not told of once")
	}
	write("max_clients = 9\nttl = '3m'\nmax_clinets = 9\n")
	hangup()
	hangups-- // which is not applied
	n.awaitLog(1, path+":5: node.max_clinets: no such key; did you mean max_clients?")
	write("max_clients = 9\nttl = '0s'\n")
	n.awaitLog(1, path+":4: node.ttl: --ttl 0s: a worker must live for some time")
	write("max_clients = 9\n")
	n.awaitLog(1, "key=ttl from=2m0s to=5s")
	n.awaitLog(1, "key=max_clients from=7 to=9")
	n.awaitLog(1, "key=log_level from=debug to=info")
	if n.log.count("level=ERROR") != 2 || n.log.count("routing") > 0 {
		t.Error("more than the two wrong files are complained of, or a setting that the command line has")
	}
	if t.Failed() {
		t.Log(n.log)
	}
}

// FuzzConfig has files of any content: each is taken, or has errors of one line each that
// name it.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"", "[node]\nname = '1@a'\njoin = ['2@b']\n", "[node]\nttl = '0s'\n[kind.a]\nsource = 'random'", "node = 3", "[nodes]\n[[node]]",
		"[node.port]\na = 1", "'' = 1", "[kind.'']\nsource = 'exec:cat'\nserial = true", "[node]\nport = 99999999999999999999", "[node]\ndrain_delay = 1979-05-27",
		"a.b.c = {d = [1, 'x', {}]}", "[kind]\na = 1", "node.join = [[]]", "[node]\nmax_memory = ''\nvoters = ['']\nhttp = ':'",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "n.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		said, errs := checkFile(path)
		if len(errs) == 0 && !strings.HasPrefix(said, path+": ") {
			t.Errorf("%q: %q", text, said)
		}
		for _, err := range errs {
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
