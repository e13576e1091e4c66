package main

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/node"
)

const (
	completionTime = time.Second // for a node to answer
	maxCompleted   = 200         // words that are offered
)

// A completer returns the words that a shell offers, of which some may not fit.
type completer func(context.Context, *node.Client) []string

// complete has a shell offer what the node of the command knows: kinds, nodes and ids for
// its flags, and for each of its arguments; the last one of these is for all that follow.
// Without a node that answers at once it offers nothing.
func (o *oneShot) complete(cmd *cobra.Command, arguments ...completer) {
	for flag, words := range map[string]completer{"kind": kindWords, "node": nodeWords} {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, o.offer(words)) // it has none yet
		}
	}
	_ = cmd.RegisterFlagCompletionFunc("attach", func(_ *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, n := range localNodes(stateDir()) {
			names = append(names, n.name)
		}
		return fitting(names, begin)
	})
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		at := min(len(args), len(arguments)-1)
		if at < 0 || arguments[at] == nil {
			return fitting(nil, begin)
		}
		return o.offer(arguments[at])(cmd, args, begin)
	}
}

// offer returns a function that attaches to the node and offers words.
func (o *oneShot) offer(words completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		if fromEnvironment(cmd.Flags()) != nil {
			return fitting(nil, begin)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		client, err := o.client(ctx)
		if err != nil {
			return fitting(nil, begin)
		}
		defer client.Close()
		return fitting(words(ctx, client), begin)
	}
}

// plainWord matches what means itself on a command line. An id can be anything, such as
// a command in $(), and the user's shell would run what it has offered.
const plainWord = `^[\p{L}\p{N}_.:/@+,=%][\p{L}\p{N}_.:/@+,=%-]*$`

// fitting returns the words that begin so and that are plain.
func fitting(words []string, begin string) ([]string, cobra.ShellCompDirective) {
	plain := regexp.MustCompile(plainWord) // here, as commands should start at once
	words = slices.DeleteFunc(words, func(word string) bool {
		return !strings.HasPrefix(word, begin) || !plain.MatchString(word)
	})
	slices.Sort(words)
	words = slices.Compact(words)
	return words[:min(len(words), maxCompleted)], cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func kindWords(ctx context.Context, c *node.Client) (words []string) {
	infos, _ := c.Nodes(ctx) // without an answer there is nothing to offer
	for _, n := range infos {
		words = slices.AppendSeq(words, maps.Keys(n.Kinds))
	}
	return words
}

func nodeWords(ctx context.Context, c *node.Client) (words []string) {
	members, _ := c.Members(ctx)
	for _, m := range members {
		words = append(words, m.Name)
	}
	return words
}

func idWords(ctx context.Context, c *node.Client) (words []string) {
	workers, _ := c.Workers(ctx)
	for _, w := range workers {
		words = append(words, w.ID.String())
	}
	return words
}
