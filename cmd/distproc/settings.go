package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/distproc/distproc/wire/file"
	"github.com/distproc/distproc/wire/text"
)

// A setting of a node comes from its flag, else from the environment, else from the table
// [node] of --config, else it is the default. All go through the flag: fromEnvironment and
// fromFile set those that nothing before has set, and note the origin in the annotation of
// that name. So a flag that is registered in member.register has all four.

// origin is the annotation of a flag that is not from the command line: the variable in the
// environment, or FILE:LINE.
const origin = "distproc-origin"

const (
	fromFlag        = "flag"
	fromVariable    = "environment"
	fromFileSetting = "file"
	fromDefault     = "default"
)

// originOf returns where the value of a flag comes from, and the variable or FILE:LINE.
func originOf(f *pflag.Flag) (from, where string) {
	switch at := f.Annotations[origin]; {
	case len(at) == 2:
		return at[0], at[1]
	case f.Changed:
		return fromFlag, ""
	}
	return fromDefault, ""
}

// insteadOf names flags of which one on the command line rules out the other in the
// environment.
var insteadOf = map[string]string{"name": "attach", "attach": "name"}

// variableOf returns the environment variable that stands for a flag.
func variableOf(flag string) string {
	return "DISTPROC_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line does not from DISTPROC_ variables.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	given := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	flags.VisitAll(func(f *pflag.Flag) {
		name := variableOf(f.Name)
		value, ok := os.LookupEnv(name)
		if !ok || value == "" || given[f.Name] || given[insteadOf[f.Name]] || f.Name == "help" || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = usagef("%s=%q in the environment: %v", name, value, e)
			return
		}
		_ = flags.SetAnnotation(f.Name, origin, []string{fromVariable, name}) // the flag is there
	})
	return err
}

// notInFile has the flags of nodes and shells that have no key in [node], and why.
var notInFile = map[string]string{
	"config":  "it names this file",
	"attach":  "a shell on a running node is no node",
	"execute": "it is what one shell runs",
	"help":    "it is no setting",
}

// keyOf returns the key in [node] of a flag.
func keyOf(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// settable returns the flags of a node and of its shell.
func settable() *pflag.FlagSet {
	var s shellFlags
	f := pflag.NewFlagSet("node", pflag.ContinueOnError)
	s.register(f, "info")
	s.registerShell(f)
	return f
}

// A setting is a key in [node].
type setting struct {
	flag  string
	value any // of TOML
	line  int
}

// set sets a flag to the value.
func (s *setting) set(flags *pflag.FlagSet, path string) error {
	f := flags.Lookup(s.flag)
	list, err := s.texts(f)
	if err == nil {
		many, several := f.Value.(pflag.SliceValue)
		if _, text := s.value.(string); several && !text { // its strings may have commas
			if err = flags.Set(s.flag, ""); err == nil { // which notes that it is set
				err = many.Replace(list)
			}
		} else {
			err = flags.Set(s.flag, list[0])
		}
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		err = errors.Unwrap(wrong) // without the text, and the name of the flag
	}
	if err != nil {
		return err
	}
	return flags.SetAnnotation(s.flag, origin, []string{fromFileSetting, fmt.Sprintf("%s:%d", path, s.line)})
}

// texts returns the value as the command line would have it. A flag that can be repeated has
// any number.
func (s *setting) texts(f *pflag.Flag) ([]string, error) {
	what := typeOf(f)
	switch v := s.value.(type) {
	case bool:
		if what == aBool {
			return []string{strconv.FormatBool(v)}, nil
		}
	case int64:
		if what == aNumber {
			return []string{strconv.FormatInt(v, 10)}, nil
		}
	case string:
		if f.Value.Type() == "duration" {
			if _, err := time.ParseDuration(v); err != nil {
				return nil, fmt.Errorf(`%q is no duration; write it like "500ms", "30s" or "1h30m"`, v)
			}
		}
		if what != aBool && what != aNumber {
			return []string{v}, nil
		}
	case []any:
		if what != aList {
			break
		}
		list := []string{}
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no string; write it like [\"%v\"]", one, one)
			}
			list = append(list, text)
		}
		return list, nil
	}
	if what == aDuration {
		_, err := durationOf(s.value)
		return nil, err
	}
	return nil, fmt.Errorf("%s: write %s", described(s.value), what)
}

// A settingType is what the value of a flag is in TOML, as an error says it.
type settingType string

const (
	aBool     settingType = "true or false, without quotes"
	aNumber   settingType = "a number, without quotes"
	aList     settingType = `a list of strings, ["…", "…"]`
	aDuration settingType = "a duration"
	aString   settingType = "a string, in quotes"
)

func typeOf(f *pflag.Flag) settingType {
	if _, ok := f.Value.(pflag.SliceValue); ok {
		return aList
	}
	switch f.Value.Type() {
	case "bool":
		return aBool
	case "int", "int64", "uint", "uint64":
		return aNumber
	case "duration", (*duration)(nil).Type():
		return aDuration
	}
	return aString
}

func described(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return fmt.Sprint(v)
}

// fromFile sets the flags that neither the command line nor the environment has set from the
// table [node] of --config. Only nodes, and what changes their cookies, have that flag, and
// repl --attach does not read the file.
func fromFile(cmd *cobra.Command) error {
	flags := cmd.Flags()
	path := valueOfFlag(flags, "config")
	if path == "" || valueOfFlag(flags, "attach") != "" {
		return nil
	}
	data, err := file.Read(path, maxConfig)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	_, settings, errs := decodeConfig(data, path)
	if len(errs) > 0 {
		return fmt.Errorf("--config: %w", errs[0])
	}
	return applySettings(settings, flags, path)
}

func valueOfFlag(flags *pflag.FlagSet, name string) string {
	if f := flags.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// applySettings sets the flags that are there, and that nothing but a file has set.
func applySettings(settings []setting, flags *pflag.FlagSet, path string) error {
	for _, s := range settings {
		if f := flags.Lookup(s.flag); f == nil || !isFileSetting(f) {
			continue
		}
		if err := s.set(flags, path); err != nil { // decodeConfig has tried it
			return fmt.Errorf("--config: %s:%d: node.%s: %w", path, s.line, keyOf(s.flag), err)
		}
	}
	return nil
}

// isFileSetting reports whether a value in a file counts for a flag.
func isFileSetting(f *pflag.Flag) bool {
	from, _ := originOf(f)
	return notInFile[f.Name] == "" && (from == fromDefault || from == fromFileSetting)
}

// settingsOf returns the keys of [node], by line, and what is wrong with them.
func settingsOf(table map[string]any, data []byte, path string) (settings []setting, errs []error) {
	flags := settable()
	var keys []string
	flags.VisitAll(func(f *pflag.Flag) {
		if notInFile[f.Name] == "" {
			keys = append(keys, keyOf(f.Name))
		}
	})
	for key, value := range table {
		s := setting{strings.ReplaceAll(key, "_", "-"), value, lineOf(data, "node", key)}
		err := checkKey(key, keys)
		if err == nil {
			err = s.set(flags, path)
		}
		if err != nil {
			errs = append(errs, &configError{path, s.line, "node." + key, err})
			continue
		}
		settings = append(settings, s)
	}
	slices.SortFunc(settings, func(a, b setting) int { return a.line - b.line })
	return settings, errs
}

// checkKey returns an error unless a key of [node] is known.
func checkKey(key string, keys []string) error {
	if slices.Contains(keys, key) {
		return nil
	}
	if why := notInFile[strings.ReplaceAll(key, "_", "-")]; why != "" {
		return fmt.Errorf("not in a file: %s", why)
	}
	return fmt.Errorf("no such key; %s", didYouMean(key, keys, "distproc config shows those there are"))
}

// didYouMean returns a question for the most similar word, or other if none is similar. A
// word that begins with the misspelled one, or has dashes, is similar.
func didYouMean(word string, words []string, other string) string {
	near := text.Nearest(strings.ReplaceAll(word, "-", "_"), words)
	if under := strings.ReplaceAll(word, "-", "_"); slices.Contains(words, under) {
		near = under
	}
	if near == "" && len(word) > 2 {
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, word) }); i >= 0 {
			near = words[i]
		}
	}
	if near == "" {
		return other
	}
	return fmt.Sprintf("did you mean %s?", near)
}

var flagInText = regexp.MustCompile(`--([a-z][a-z-]*)`)

// located adds to an error the place in the environment or in a file from which a flag that
// it names has its value: the first one that has not the default.
func located(flags *pflag.FlagSet, err error) error {
	if err == nil {
		return nil
	}
	for _, m := range flagInText.FindAllStringSubmatch(err.Error(), -1) {
		if f := flags.Lookup(m[1]); f != nil && f.Changed {
			return locatedAt(flags, m[1], err)
		}
	}
	return err
}

// locatedAt is located for an error about a flag.
func locatedAt(flags *pflag.FlagSet, flag string, err error) error {
	switch from, where := originOf(flags.Lookup(flag)); from {
	case fromFileSetting: // not a mistake on the command line
		colon := strings.LastIndex(where, ":")
		line, _ := strconv.Atoi(where[colon+1:])
		return &configError{where[:colon], line, "node." + keyOf(flag), errors.New(err.Error())}
	case fromVariable:
		return usagef("%s in the environment: %w", where, err)
	}
	return err
}
