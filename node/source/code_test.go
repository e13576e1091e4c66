package source

import (
	"strings"
	"testing"
)

func TestCheckCode(t *testing.T) {
	t.Parallel()
	for line, name := range map[string]string{
		"sh -c 'echo {id}'":                            "sh",
		"sh -c {id}":                                   "sh",
		"/bin/sh -c 'echo \"{id}\"'":                   "sh",
		"bash -lc 'echo {id}'":                         "bash",
		"bash -ec 'echo {id}' x":                       "bash",
		"bash -ce 'echo {id}'":                         "bash",
		"dash -c -e 'echo {id}'":                       "dash",
		"sh -c -- 'echo {id}'":                         "sh",
		"bash -c +x 'echo {id}'":                       "bash",
		"bash -o pipefail -c 'echo {id}'":              "bash",
		"bash -eo pipefail -c 'echo {id}'":             "bash",
		"bash --norc -c 'echo {id}'":                   "bash",
		"bash --rcfile x -c 'echo {id}'":               "bash",
		"zsh -fc 'echo {id}'":                          "zsh",
		"ksh93 -c 'echo {id}'":                         "ksh93",
		"fish --command='echo {id}'":                   "fish",
		"fish -c 'echo {id}'":                          "fish",
		"fish -C 'echo {id}' -c true":                  "fish",
		"busybox sh -c 'echo {id}'":                    "sh",
		"env A=b sh -c 'echo {id}'":                    "sh",
		"env -S 'sh -c \"echo {id}\"'":                 "env",
		"env '-Ssh -c {id}'":                           "env",
		"env --split-string='sh -c {id}'":              "env",
		"nice -n 5 timeout 3 sudo -u app sh -c '{id}'": "sh",
		"su app -c 'echo {id}'":                        "su",
		"su --command 'echo {id}' app":                 "su",
		"python3 -c 'print({id})'":                     "python3",
		"python3.12 -W ignore -uc 'print({id})'":       "python3.12",
		"python -cprint({id})":                         "python",
		"perl -e 'print {id}'":                         "perl",
		"perl -MList::Util -ne 'print {id}'":           "perl",
		"perl -e 'print 1;' -e 'print {id}'":           "perl",
		"perl '-eprint {id}'":                          "perl",
		"ruby -r json -e 'puts {id}'":                  "ruby",
		"node -e 'console.log({id})'":                  "node",
		"node -pe '{id}'":                              "node",
		"node --require x --eval '{id}'":               "node",
		"node --print={id}":                            "node",
		"php -r 'echo {id};'":                          "php",
		"lua5.4 -e 'print({id})'":                      "lua5.4",
		"awk 'BEGIN {print {id}}'":                     "awk",
		"awk -F : -v x=1 '/{id}/' file":                "awk",
		"gawk --source '/{id}/'":                       "gawk",
		"mawk -- '/{id}/'":                             "mawk",
	} {
		words, err := splitWords(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkCode(words); err == nil || !strings.Contains(err.Error(), "code of "+name+":") {
			t.Errorf("%s: %v, want an error about %s", line, err, name)
		}
	}
	for _, line := range []string{
		"echo {id}", "price-of -c {id}", "grep -e {id} file", "sh", "sh {id}", "sh -c", "sh -c --", "sh handle.sh -c {id}",
		`sh -c 'echo "$1"' sh {id}`, `sh -c 'echo "$1"' sh -e {id}`, `bash -lc 'echo "$1"' bash {id}`, "bash -e handle.sh -c {id}",
		"bash -o pipefail handle.sh -c {id}", "sh -- -c {id}", "env A={id} sh -c 'echo \"$A\"'", "env -u A price-of {id}",
		"python3 price.py -c {id}", "python3 -u price.py -c {id}", "python3 -m price -c {id}", "python3 -c 'import sys' {id}",
		"perl -ne 'print' {id}", "perl price.pl -e {id}", "node price.js -e {id}", "node --eval 'x' {id}", "php price.php -r {id}",
		"awk -v id={id} 'BEGIN {print id}'", "awk -f price.awk {id}", "gawk --source 'BEGIN {}' {id}", "su app -c price {id}",
		"nice -n 5 sh -c 'echo $DISTPROC_ID'", "timeout 5 price-of {id}", "finish -c {id}", "crash -c {id}", "ssh -c {id}",
	} {
		words, err := splitWords(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkCode(words); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestParseRefusesCode(t *testing.T) {
	t.Parallel()
	const spec = "exec:sh -c 'echo {id}'"
	want := `source "exec:sh -c 'echo {id}'": an id must not become code of sh: let that read DISTPROC_ID from its environment, ` +
		`or write "$1" there and sh {id} behind it`
	if _, err := Parse(spec, testEnv); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := ParseSerial(spec, testEnv); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
