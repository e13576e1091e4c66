package repl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/distproc/distproc/repl/editor"
)

// A view is what a command shows on the whole terminal: at most so many lines, each of at
// most so many columns.
type view interface {
	lines(cols, rows int, s style) []string
}

// fullScreen shows views on the whole terminal, a new one each interval, until a key is
// pressed. Look makes them, one at a time, on a goroutine of its own, and ends soon after
// its context.
func (sh *Shell) fullScreen(ctx context.Context, term *editor.Editor, interval time.Duration, look func(context.Context) view) error {
	sh.onScreen.Store(true)
	defer sh.onScreen.Store(false)
	colors := sh.style // look may change it
	return term.FullScreen(func(key func(time.Duration) bool) error {
		ctx, cancel := context.WithCancel(ctx)
		views := make(chan view)
		var looking sync.WaitGroup
		looking.Go(func() { lookAgain(ctx, interval, look, views) })
		defer looking.Wait()
		defer cancel()
		var v view = waiting{}
		var rows, cols int
		for {
			fresh := false
			select {
			case v = <-views:
				fresh = true
			case <-ctx.Done():
				return ctx.Err()
			default:
			}
			if r, c := term.Size(); fresh || r != rows || c != cols {
				rows, cols = r, c // the last column stays free: a terminal may wrap after it
				sh.draw(term, v.lines(max(cols-1, 1), rows, colors))
			}
			if key(50 * time.Millisecond) {
				return nil
			}
		}
	})
}

// draw replaces what is on the screen. A terminal that cannot go back to the first line
// shows one view after the other.
func (sh *Shell) draw(term *editor.Editor, lines []string) {
	if term.Dumb() {
		sh.writeOut(strings.Join(lines, "\r\n") + "\r\n\r\n")
		return
	}
	sh.writeOut("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
}

// lookAgain sends a view each interval.
func lookAgain(ctx context.Context, interval time.Duration, look func(context.Context) view, views chan<- view) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case views <- look(ctx):
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// waiting is the view before there is one.
type waiting struct{}

func (waiting) lines(int, int, style) []string { return []string{"looking…"} }

// untilKey runs f until it returns, ctx ends or, at a terminal, a key is pressed, which ends
// the context of f. It returns when f has.
func (sh *Shell) untilKey(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	term := sh.terminal()
	if term == nil {
		return f(ctx)
	}
	return term.Follow(func(key func(time.Duration) bool) error {
		done := make(chan error, 1)
		go func() { // the loop waits for it
			defer func() {
				if r := recover(); r != nil {
					done <- fmt.Errorf("internal error: %v", r)
				}
			}()
			done <- f(ctx)
		}()
		for {
			select {
			case err := <-done:
				return err
			default:
			}
			if key(20 * time.Millisecond) {
				cancel()
				return <-done
			}
		}
	})
}

var errNoScreen = errors.New("there is no terminal that shows it in place; every(seconds, f, n) shows values below each other")
