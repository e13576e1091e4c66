package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire/text"
)

func configCommand() *cobra.Command {
	var m member
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show what a node with these flags would run with, and where each setting comes from",
		Long: `It takes the flags of distproc node and shows each setting, its value, and whether that is from a flag,
the environment, a file, or the default. It starts nothing, makes no file, and shows no cookie.

A setting comes from its flag, else from the environment, else from the table [node] of the file that
--config names, else it is the default. For --drain-timeout the variable is DISTPROC_DRAIN_TIMEOUT, and
the key is drain_timeout.`,
		Example: "  distproc config --config node.toml\n  distproc config --config node.toml --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := m.makesSense(); err != nil {
				return err
			}
			list := m.shown(cmd.Flags())
			if asJSON {
				return writeSettingsJSON(cmd.OutOrStdout(), list)
			}
			return writeSettings(cmd.OutOrStdout(), list)
		},
	}
	m.register(cmd.Flags(), "info")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of JSON objects")
	return cmd
}

// makesSense returns an error if a setting makes no sense. There need not be a name.
func (m *member) makesSense() error {
	if m.name == "" {
		m.name = anyName
		defer func() { m.name = "" }()
	}
	_, err := m.settings()
	return err
}

// A shownSetting is what a node would run with.
type shownSetting struct {
	Key   string `json:"key"`   // in a file
	Flag  string `json:"flag"`  // without dashes in front
	Value any    `json:"value"` // a string, a number, a bool or a list of strings; null if it is not set
	From  string `json:"from"`  // flag, environment, file or default
	Where string `json:"where,omitempty"`
	shown string
}

var defaultInUsage = regexp.MustCompile(`\(default (.*)\)$`)

// shown returns the settings of the flags of a node, by name.
func (m *member) shown(flags *pflag.FlagSet) (list []shownSetting) {
	found := m.found()
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "json" {
			return
		}
		s := shownSetting{Key: keyOf(f.Name), Flag: f.Name, Value: valueOfSetting(f)}
		s.From, s.Where = originOf(f)
		if f.Name == "cookie-file" && m.cookieInEnvironment() {
			s.From, s.Where = fromVariable, cookieVariable
			s.shown = "none: the environment has the cookie"
			s.Value = nil
		} else if text := f.Value.String(); text != "" && text != "[]" {
			s.shown = text
			if many, ok := f.Value.(pflag.SliceValue); ok {
				s.shown = strings.Join(many.GetSlice(), ",")
			}
		}
		if value, ok := found[f.Name]; ok && s.From == fromDefault && value != "" {
			s.shown, s.Value = value, value
			if n, err := strconv.Atoi(value); err == nil {
				s.Value = n
			}
		}
		if d := defaultInUsage.FindStringSubmatch(f.Usage); d != nil && s.shown == "" {
			s.shown = d[1]
		}
		if s.shown == "" {
			s.shown = "-"
		}
		list = append(list, s)
	})
	return list
}

// found returns the defaults that depend on other settings or on the machine, by flag.
func (m *member) found() map[string]string {
	found := map[string]string{}
	if path, err := m.cookiePath(); err == nil {
		found["cookie-file"] = path
	}
	if addr, err := placement.ParseAddr(m.name); err == nil {
		if addr.Port == 0 {
			addr.Port = addr.DefaultPort()
		}
		found["port"] = strconv.Itoa(addr.Port)
		found["data-dir"] = m.dataFolder()
		if timing, err := m.parseTiming(); err == nil {
			found["timing"] = timing.String()
		}
	}
	return found
}

// valueOfSetting returns the value of a flag as JSON has it.
func valueOfSetting(f *pflag.Flag) any {
	text := f.Value.String()
	if many, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, many.GetSlice()...)
	}
	switch f.Value.Type() {
	case "bool":
		return text == "true"
	case "int":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	if text == "" {
		return nil
	}
	return text
}

func writeSettings(w io.Writer, list []shownSetting) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "setting\tvalue\tfrom")
	for _, s := range list {
		from := s.From
		switch s.From {
		case fromVariable, fromFileSetting:
			from = s.Where
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Flag, text.Printable(s.shown), text.Printable(from))
	}
	return t.Flush()
}

func writeSettingsJSON(w io.Writer, list []shownSetting) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(list)
}
