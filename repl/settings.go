package repl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"go.starlark.net/starlark"
)

// settings are the values that configure changes.
type settings struct {
	color   Color
	timeout time.Duration // of a request; 0: the node's own, 5 s
	limit   int           // elements of a list and rows of a table that are shown; 0: all
	history int           // prompts whose values are kept
	save    bool          // lines that are typed go to the history file
	fail    bool          // rows of tables that fail make the exit status of a program 1
}

var defaults = settings{history: 100, save: true, fail: true}

// terminalLimit is the default limit at a terminal. Programs have no limit, because other
// programs read their output.
const terminalLimit = 100

var colorNames = []string{ColorAuto: "auto", ColorAlways: "always", ColorNever: "never"}

func (c Color) String() string { return colorNames[c] }

// ParseColor returns the Color named auto, always or never.
func ParseColor(name string) (Color, error) {
	for c, s := range colorNames {
		if s == name {
			return Color(c), nil
		}
	}
	return 0, fmt.Errorf("%q: say auto, always or never", name)
}

func (sh *Shell) configure(r *request) (starlark.Value, error) {
	var color, timeout, limit, history, save, fail starlark.Value
	if err := r.unpack("color?", &color, "timeout?", &timeout, "limit?", &limit, "history?", &history, "save_history?", &save, "fail?", &fail); err != nil {
		return nil, err
	}
	s, err := sh.settings.with(color, timeout, limit, history, save)
	if err != nil {
		return nil, err
	}
	switch fail := fail.(type) {
	case nil, starlark.NoneType:
	case starlark.Bool:
		s.fail = bool(fail)
	default:
		return nil, errors.New("configure: fail: say True or False")
	}
	sh.settings = s
	sh.applyColor()
	if term := sh.terminal(); term != nil {
		term.SaveHistory(s.save)
	}
	if len(r.args)+len(r.kw) > 0 {
		return starlark.None, nil
	}
	return &account{kind: "settings", names: []string{"color", "timeout", "limit", "history", "save_history", "fail"},
		values: starlark.Tuple{starlark.String(s.color.String()), seconds(s.timeout), starlark.MakeInt(s.limit), starlark.MakeInt(s.history), starlark.Bool(s.save), starlark.Bool(s.fail)},
		lines: []line{
			{"color", s.color.String()},
			{"timeout", orWord(s.timeout.String(), s.timeout == 0, "that of the node, 5s")},
			{"limit", orWord(fmt.Sprint(s.limit, " elements of a list, rows of a table"), s.limit == 0, "none")},
			{"history", fmt.Sprint("v() knows the last ", s.history)},
			{"save_history", orWord("lines that are typed are kept in a file", !s.save, "lines that are typed are kept in memory only")},
			{"fail", orWord("a program exits with 1 if a row of a table has failed", !s.fail, "rows of tables that fail leave the exit status of a program alone")},
		},
	}, nil
}

// with returns the settings with those changed that are neither nil nor None.
func (s settings) with(color, timeout, limit, history, save starlark.Value) (_ settings, err error) {
	given := func(v starlark.Value) bool { return v != nil && v != starlark.None && err == nil }
	if given(color) {
		switch c := color.(type) {
		case starlark.Bool:
			s.color = map[starlark.Bool]Color{true: ColorAlways, false: ColorNever}[c]
		case starlark.String:
			if s.color, err = ParseColor(string(c)); err != nil {
				err = fmt.Errorf("color: %w", err)
			}
		default:
			err = errors.New("color: say auto, always or never")
		}
	}
	if given(timeout) {
		t, ok := starlark.AsFloat(timeout)
		if !ok || math.IsNaN(t) || t < 0 || t > 1e9 {
			err = fmt.Errorf("timeout: %s; seconds are a number such as 0.5, and 0 leaves it to the node", timeout)
		}
		s.timeout = time.Duration(t * float64(time.Second))
	}
	if given(limit) {
		if err = starlark.AsInt(limit, &s.limit); err != nil || s.limit < 0 {
			err = fmt.Errorf("limit: %s; it is a number of elements, and 0 shows all", limit)
		}
	}
	if given(history) {
		if err = starlark.AsInt(history, &s.history); err != nil || s.history < 1 {
			err = fmt.Errorf("history: %s; it is a number of prompts from 1 up", history)
		}
	}
	if given(save) {
		b, ok := save.(starlark.Bool)
		if !ok {
			err = errors.New("save_history: say True or False")
		}
		s.save = bool(b)
	}
	if err != nil {
		err = fmt.Errorf("configure: %w", err)
	}
	return s, err
}

// colored reports whether a terminal should have colors.
func colored(c Color) bool {
	return c == ColorAlways || c == ColorAuto && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// applyColor makes the style follow the settings.
func (sh *Shell) applyColor() {
	term := sh.terminal()
	sh.style.colored = sh.settings.color == ColorAlways
	if term != nil {
		sh.style.colored = colored(sh.settings.color)
		term.SetColored(sh.style.colored)
	}
}

// bounded returns the context of one request.
func (sh *Shell) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if sh.settings.timeout > 0 {
		return context.WithTimeout(ctx, sh.settings.timeout)
	}
	return ctx, func() {}
}

func (sh *Shell) clear(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.term != nil {
		sh.term.Clear()
	}
	return starlark.None, nil
}

func orWord(s string, is bool, word string) string {
	if is {
		return word
	}
	return s
}
