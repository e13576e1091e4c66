package repl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/distproc/distproc/wire/text"
)

// maxPane is how many bytes are kept of what a function writes while its value is watched.
const maxPane = 64 << 10

// A pane is a value that is watched, and what its function wrote.
type pane struct {
	title string
	at    time.Time
	value starlark.Value // nil if there was an error
	err   error

	mu      sync.Mutex
	written strings.Builder // guarded by mu
}

// add takes what is written.
func (p *pane) add(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written.WriteString(s[:min(len(s), max(0, maxPane-p.written.Len()))])
}

// lines returns the pane with a title, an error if there is one, and the beginning of the
// rest.
func (p *pane) lines(cols, rows int, s style) []string {
	lines := []string{text.Fit("watch  "+p.title+"  "+p.at.Format(time.TimeOnly)+"; any key leaves", cols)}
	if p.err != nil {
		lines = append(lines, s.bad(text.Fit("** "+printable(firstLine(p.err.Error())), cols)))
	}
	lines = append(lines, "")
	p.mu.Lock()
	body := strings.TrimRight(p.written.String(), "\n")
	p.mu.Unlock()
	if p.value != nil && p.value != starlark.None {
		show := style{limit: max(rows, 1), cols: cols}
		body = strings.TrimLeft(body+"\n"+show.lay(p.value, 0), "\n")
	}
	room, all := max(rows-len(lines), 0), strings.Split(body, "\n")
	for i, line := range all {
		if i == room-1 && len(all) > room {
			line = "… " + counted(len(all)-i, "more line", "more lines")
		} else if i >= room {
			break
		}
		lines = append(lines, text.Fit(printable(line), cols))
	}
	return lines[:min(len(lines), max(rows, 1))]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (sh *Shell) watch(r *request) (starlark.Value, error) {
	var of, interval starlark.Value = nil, starlark.MakeInt(1)
	if err := r.unpack("f", &of, "seconds?", &interval); err != nil {
		return nil, err
	}
	d, err := toDuration(interval)
	if err == nil && d < time.Millisecond {
		err = fmt.Errorf("%s; seconds are a number above 0, such as 0.5", interval)
	}
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	f, title, err := sh.watched(of)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	if sh.onScreen.Load() {
		return nil, errors.New("watch: one screen at a time")
	}
	term := sh.terminal()
	if term == nil {
		return nil, fmt.Errorf("watch: %w", errNoScreen)
	}
	return starlark.None, sh.fullScreen(r.ctx, term, d, func(ctx context.Context) view {
		p := &pane{title: title}
		sh.capture.Store(p)
		defer sh.capture.Store(nil)
		p.value, p.err = sh.evaluate(ctx, r.thread, f)
		p.at = time.Now()
		return p
	})
}

// watched returns a function for what is to be watched, and a title.
func (sh *Shell) watched(of starlark.Value) (f func(*starlark.Thread) (starlark.Value, error), title string, err error) {
	if source, ok := starlark.AsString(of); ok {
		if _, err := parseExpr(source); err != nil {
			return nil, "", err
		}
		return func(t *starlark.Thread) (starlark.Value, error) {
			expr, err := parseExpr(source) // again, as it is changed when it is run
			if err != nil {
				return nil, err
			}
			v, err := starlark.EvalExprOptions(dialect, t, expr, sh.globals)
			if err == nil && sh.isBare(v) {
				return starlark.Call(t, v, nil, nil)
			}
			return v, err
		}, printable(strings.TrimSpace(source)), nil
	}
	call, ok := of.(starlark.Callable)
	if !ok {
		return nil, "", fmt.Errorf(`%s; pass a function, such as lambda: workers(), or a text, such as "workers()"`, article(of))
	}
	title = call.Name() + "()"
	if call.Name() == "lambda" {
		title = "lambda"
	}
	return func(t *starlark.Thread) (starlark.Value, error) { return starlark.Call(t, call, nil, nil) }, title, nil
}

// parseExpr reads an expression as the shell reads lines.
func parseExpr(source string) (syntax.Expr, error) {
	lines := strings.Split(source, "\n")
	expr, err := dialect.ParseExpr("<watch>", strings.TrimSuffix(renameLoad(lines), "\n"), 0)
	if err != nil {
		if e, ok := errors.AsType[syntax.Error](err); ok {
			return nil, fmt.Errorf("%s is no expression: %s", text.Quote(source), e.Msg)
		}
		return nil, err
	}
	stmt := &syntax.ExprStmt{X: expr}
	nameDeleted(stmt)
	boundProducts(stmt)
	return stmt.X, nil
}

// evaluate runs f on a thread of its own, which ends with ctx.
func (sh *Shell) evaluate(ctx context.Context, parent *starlark.Thread, f func(*starlark.Thread) (starlark.Value, error)) (v starlark.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("internal error: %v", r)
		}
	}()
	t := &starlark.Thread{Name: parent.Name, Print: parent.Print}
	t.SetMaxExecutionSteps(sh.maxSteps)
	t.SetLocal(contextKey, ctx)
	defer context.AfterFunc(ctx, func() { t.Cancel("stopped") })()
	return f(t)
}
