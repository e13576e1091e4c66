package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/discover"
	"github.com/distproc/distproc/node/source"
)

// A joinList is the value of --join: names of nodes, and sources of names. Commas part them,
// but for exec:, whose command may have some and is the rest of its flag.
type joinList []string

// Set adds what one flag says. It implements [pflag.Value].
func (l *joinList) Set(s string) error {
	for s != "" {
		item, rest, _ := strings.Cut(s, ",")
		if strings.HasPrefix(s, "exec:") {
			item, rest = s, ""
		}
		*l = append(*l, strings.TrimSpace(item))
		s = strings.TrimLeft(rest, " ")
	}
	return nil
}

func (l *joinList) String() string {
	if l == nil || len(*l) == 0 {
		return ""
	}
	return "[" + strings.Join(*l, ",") + "]"
}

// Type implements [pflag.Value].
func (l *joinList) Type() string { return "stringSlice" }

// Append adds an item as it is. Append, Replace and GetSlice implement [pflag.SliceValue].
func (l *joinList) Append(s string) error { *l = append(*l, s); return nil }

// Replace sets all items.
func (l *joinList) Replace(items []string) error { *l = slices.Clone(items); return nil }

// GetSlice returns all items.
func (l *joinList) GetSlice() []string { return *l }

// check returns an error unless a node that listens on a port, which a client does not,
// can join all of them.
func (l *joinList) check(port int) error {
	for _, item := range *l {
		err := error(nil)
		if discover.Is(item) {
			_, err = discover.Parse(item, discover.Options{Port: port, Command: source.Command})
		} else {
			err = node.CheckAddr(item)
		}
		if err != nil {
			return usageError{fmt.Errorf("--join: %w", err)}
		}
	}
	return nil
}

// find returns the names of nodes, for a client: what the sources name now, instead of the
// sources. It logs what is wrong with one if others name somebody.
func (l *joinList) find(ctx context.Context, log *slog.Logger) (names []string, err error) {
	for _, item := range *l {
		if !discover.Is(item) {
			names = append(names, item)
			continue
		}
		s, err := discover.Parse(item, discover.Options{Command: source.Command})
		if err != nil {
			return nil, err
		}
		found, why := s.Find(ctx)
		if why != nil && len(found) == 0 && len(*l) == 1 {
			return nil, fmt.Errorf("--join %s: %w", item, why)
		}
		if why != nil {
			log.Warn("some nodes to ask are left out", "source", item, "why", why)
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return nil, errors.New("the sources of --join name no node")
	}
	return names, nil
}
