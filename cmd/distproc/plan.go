package main

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/node/placement"
)

const maxPlanned = 10_000_000 // ids in a sample

func planCommand() *cobra.Command {
	var nodes, add, remove []string
	var ids int
	cmd := &cobra.Command{
		Use:     "plan --nodes NAMES [--add NAMES] [--remove NAMES]",
		Short:   "Show how many ids a change of the members would move",
		Example: "  distproc plan --nodes 1@a,2@b,3@c --add 4@d",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(nodes) == 0 || len(add)+len(remove) == 0 {
				return usagef("distproc plan: pass --nodes with the members as they are, and --add or --remove")
			}
			if ids < 1 || ids > maxPlanned {
				return usagef("--ids %d: a sample has 1 to %d ids", ids, maxPlanned)
			}
			before, err := parseNames(nodes)
			if err != nil {
				return err
			}
			after, err := planned(before, add, remove)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "routing\tids moved, of %d\tshare\tlargest share of a node\n", ids)
			for _, p := range placement.PlanChange(before, after, ids) {
				fmt.Fprintf(w, "%s\t%d\t%.1f %%\t%.1f %%\n", p.Routing, p.Moved, percent(p.Moved, ids), percent(p.Largest, ids))
			}
			return w.Flush()
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&nodes, "nodes", nil, "the members as they are, `NAME@HOST,…`")
	f.StringSliceVar(&add, "add", nil, "members that would join")
	f.StringSliceVar(&remove, "remove", nil, "members that would leave for good")
	f.IntVar(&ids, "ids", 100_000, "how many ids to look at")
	return cmd
}

func percent(part, whole int) float64 { return 100 * float64(part) / float64(whole) }

func parseNames(names []string) ([]placement.Name, error) {
	var parsed []placement.Name
	for _, s := range names {
		a, err := placement.ParseAddr(s)
		if err != nil {
			return nil, usageError{err}
		}
		parsed = append(parsed, a.Name)
	}
	return parsed, nil
}

// planned returns the members after the change.
func planned(before []placement.Name, add, remove []string) ([]placement.Name, error) {
	more, err := parseNames(add)
	if err != nil {
		return nil, err
	}
	gone, err := parseNames(remove)
	if err != nil {
		return nil, err
	}
	for _, n := range gone {
		if !slices.Contains(before, n) {
			return nil, usagef("--remove %s: it is not among --nodes", n)
		}
	}
	after := slices.DeleteFunc(slices.Concat(before, more), func(n placement.Name) bool { return slices.Contains(gone, n) })
	if len(after) == 0 {
		return nil, usagef("--remove leaves no node")
	}
	return after, nil
}
