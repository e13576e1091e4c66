package source

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// An interpreter is a family of programs that take code as one of their words.
type interpreter struct {
	name  *regexp.Regexp
	code  string   // option letters that announce code
	long  []string // long options that announce code
	arg   string   // option letters with an argument that is not code
	end   string   // option letters after which all words are arguments of the code
	late  bool     // the code is the first operand, as in sh -c -e CODE; else the next word, as in perl -e CODE -n
	bare  bool     // the first operand is code without any option, too
	mixed bool     // options may stand behind operands
}

var interpreters = []interpreter{
	{name: regexp.MustCompile(`^(ba|da|a|z|[lmo]?k|ya|rba|po|c|tc)?sh[0-9.]*$`), code: "c", arg: "oO", late: true},
	{name: regexp.MustCompile(`^fish$`), code: "cC", long: []string{"--command", "--init-command"}, arg: "dfo"},
	{name: regexp.MustCompile(`^(python|pypy)[0-9.]*$`), code: "c", arg: "WX", end: "m"},
	{name: regexp.MustCompile(`^perl[0-9.]*$`), code: "eE", arg: "IMm"},
	{name: regexp.MustCompile(`^ruby[0-9.]*$`), code: "e", arg: "CIr"},
	{name: regexp.MustCompile(`^(node|nodejs|bun)$`), code: "ep", long: []string{"--eval", "--print"}, arg: "rC", late: true},
	{name: regexp.MustCompile(`^php[0-9.]*$`), code: "rBRE", long: []string{"--run"}, arg: "cdz"},
	{name: regexp.MustCompile(`^lua(jit)?[0-9.]*$`), code: "e", arg: "l"},
	{name: regexp.MustCompile(`^[gmn]?awk$`), code: "e", long: []string{"--source"}, arg: "vFi", end: "f", bare: true},
	{name: regexp.MustCompile(`^env$`), code: "S", long: []string{"--split-string"}, arg: "uC"},
	{name: regexp.MustCompile(`^(su|runuser)$`), code: "c", long: []string{"--command", "--session-command"}, mixed: true},
}

// checkCode refuses words in which an id would become part of code. The interpreter may
// be any word, because nice, timeout, sudo and others may precede it.
func checkCode(words []string) error {
	for i, word := range words {
		name := path.Base(word)
		for _, lang := range interpreters {
			if lang.name.MatchString(name) && strings.Contains(strings.Join(lang.codeIn(words[i+1:]), "\n"), placeholder) {
				return fmt.Errorf(`an id must not become code of %s: let that read DISTPROC_ID from its environment, or write "$1" there and sh {id} behind it`, name)
			}
		}
	}
	return nil
}

// codeIn returns the code among the words after the interpreter's name.
func (lang *interpreter) codeIn(words []string) (code []string) {
	bare := lang.bare
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--" && !bare:
			return code
		case word == "--":
		case isOption(word):
			announces, attached, length := lang.option(word)
			switch {
			case length == 0:
				return code
			case !announces:
				i += length - 1
				continue
			case attached == "":
				i = min(i+lang.toCode(words[i+1:]), len(words)-1)
				attached = words[i]
			}
			code, bare = append(code, attached), false
		case bare:
			return append(code, word)
		case !lang.mixed && (i == 0 || !strings.HasPrefix(words[i-1], "--")): // else it may be an argument of that
			return code
		}
	}
	return code
}

// toCode returns the distance in words from an option that announces code to the code.
func (lang *interpreter) toCode(words []string) int {
	if lang.late {
		return 1 + slices.IndexFunc(words, func(word string) bool { return !isOption(word) })
	}
	return 1
}

func isOption(word string) bool { return len(word) > 1 && (word[0] == '-' || word[0] == '+') }

// option parses an option. It returns whether the option announces code, any code in the
// same word, and how many words the option takes, or 0 if no options follow.
func (lang *interpreter) option(word string) (announces bool, code string, length int) {
	if strings.HasPrefix(word, "--") {
		name, value, _ := strings.Cut(word, "=")
		return slices.Contains(lang.long, name), value, 1
	}
	for i := 1; i < len(word); i++ {
		rest := word[i+1:]
		switch letter := word[i : i+1]; {
		case strings.Contains(lang.code, letter) && lang.late:
			return true, "", 1
		case strings.Contains(lang.code, letter):
			return true, rest, 1
		case strings.Contains(lang.arg, letter) && rest == "":
			return false, "", 2
		case strings.Contains(lang.arg, letter):
			return false, "", 1
		case strings.Contains(lang.end, letter):
			return false, "", 0
		}
	}
	return false, "", 1
}
