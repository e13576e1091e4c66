package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/repl"
)

// A flagValues says what a shell offers for the value of a flag. The zero one offers
// nothing, instead of the files that happen to be there.
type flagValues struct {
	words   []string // each may have a tab, and then what it means
	goesOn  bool     // the words are the beginnings of values
	files   bool
	folders bool
}

// valuesOf has the flags for which a shell has something to offer.
var valuesOf = map[string]flagValues{
	"timing":     {words: []string{"local\tsees a crash within 2 s", "lan\twithin 6 s", "wan\twithin 20 s"}},
	"routing":    {words: []string{placement.Modulo.String(), placement.Rendezvous.String()}},
	"color":      {words: []string{repl.ColorAuto.String(), repl.ColorAlways.String(), repl.ColorNever.String()}},
	"log-level":  {words: []string{"debug", "info", "warn", "error"}},
	"log-format": {words: []string{"text", "json"}},
	"source":     {words: []string{"random", "exec:", "http://", "https://"}, goesOn: true},
	"join":       {words: []string{"dns:\tall addresses of a host", "srv:\tan SRV record", "file:\tnames in a file", "exec:\tnames that a program prints"}, goesOn: true},
	"listen":     {words: []string{"0.0.0.0\tall addresses", "::\tall addresses, with IPv6", "127.0.0.1\tthis machine only"}},
	"ttl":        {words: []string{"forever"}},
	"reap-after": {words: []string{"forever"}},

	"config":          {files: true},
	"cookie-file":     {files: true},
	"http-token-file": {files: true},
	"init":            {files: true},
	"tls-ca":          {files: true},
	"tls-cert":        {files: true},
	"tls-key":         {files: true},
	"data-dir":        {folders: true},
}

// completeFlags registers what shells offer for the flags of a command and of those below
// it, but for what a node is asked for: see completion_live.go. Of the arguments only those
// of repl and check are files.
func completeFlags(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		v := valuesOf[f.Name]
		if f.Value.Type() == "bool" {
			v.words = []string{"true", "false"}
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, v.complete) // it fails if the command has a better one
	})
	if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = flagValues{files: cmd.Name() == "repl" || cmd.Name() == "check"}.complete
	}
	for _, c := range cmd.Commands() {
		completeFlags(c)
	}
}

func (v flagValues) complete(_ *cobra.Command, _ []string, begin string) (list []string, how cobra.ShellCompDirective) {
	switch {
	case v.files:
		return nil, cobra.ShellCompDirectiveDefault
	case v.folders:
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	for _, word := range v.words {
		if strings.HasPrefix(word, begin) {
			list = append(list, word)
		}
	}
	how = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	if v.goesOn {
		how |= cobra.ShellCompDirectiveNoSpace
	}
	return list, how
}
