package repl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/repl/editor"
	"github.com/distproc/distproc/wire/file"
)

// maxDraft is how many bytes of an edited text the prompt takes.
const maxDraft = 64 << 10

// edit opens an editor with a former input or a function. The text that the user leaves
// there is at the next prompt.
func (sh *Shell) edit(r *request) (starlark.Value, error) {
	var what starlark.Value
	if err := r.unpack("what?", &what); err != nil {
		return nil, err
	}
	term := sh.terminal()
	if term == nil {
		return nil, errors.New("edit: there is no terminal for an editor")
	}
	sh.edited, sh.typed.skip = true, true
	text, err := sh.sourceOf(what)
	if err == nil {
		text, err = sh.editText(r.ctx, term, text)
	}
	if err != nil {
		return nil, fmt.Errorf("edit: %w", err)
	}
	term.Draft(text)
	return starlark.None, nil
}

// editTyped opens an editor with what is being typed. Whatever happens, there is a text at
// the next prompt: the edited one, or else what was typed.
func (sh *Shell) editTyped(ctx context.Context, term *editor.Editor, typed string) error {
	text, err := sh.editText(ctx, term, typed)
	if err != nil {
		text = typed
	}
	term.Draft(text)
	return err
}

// sourceOf returns the text that edit was asked for.
func (sh *Shell) sourceOf(what starlark.Value) (string, error) {
	switch what := what.(type) {
	case nil:
		return sh.last, nil
	case starlark.Int:
		n, err := starlark.AsInt32(what)
		if n < 0 {
			n += sh.count
		}
		if c := sh.sources.get(inputName(n)); err == nil && c != nil && n < sh.count {
			return strings.Join(c.lines, "\n"), nil
		}
		return "", fmt.Errorf("there is no input at prompt %s before this one, %d", what, sh.count)
	case *starlark.Function:
		if text := sh.sourceOfFunction(what); text != "" {
			return text, nil
		}
		return "", fmt.Errorf("the source of %s is not there any more", what.Name())
	}
	return "", fmt.Errorf("%s has no source; edit takes the number of a prompt, or a function of yours", article(what))
}

// sourceOfFunction returns the statement that defines a function, or "".
func (sh *Shell) sourceOfFunction(f *starlark.Function) string {
	pos := f.Position()
	c := sh.sources.get(pos.Filename())
	if c == nil {
		return ""
	}
	if !c.whole {
		return strings.Join(c.lines, "\n")
	}
	file, err := dialect.Parse(c.name, renameLoad(c.lines), 0)
	if err != nil {
		return ""
	}
	for _, stmt := range file.Stmts {
		if start, end := stmt.Span(); start.Line <= pos.Line && pos.Line <= end.Line {
			return strings.Join(c.lines[start.Line-1:end.Line], "\n")
		}
	}
	return ""
}

// editText lets the user change a text in an editor, and returns the new text. If it fails
// after the user has changed the text, the error says where the new one is.
func (sh *Shell) editText(ctx context.Context, term *editor.Editor, text string) (changed string, err error) {
	command, err := editorCommand(term.Dumb())
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "distproc-*.star") // mode 0600
	if err != nil {
		return "", err
	}
	path, keep := f.Name(), false
	defer func() {
		if !keep {
			os.Remove(path)
		}
	}()
	if text != "" {
		text += "\n"
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	args := append(strings.Fields(command), path)
	if strings.ContainsAny(command, shellSyntax) {
		args = []string{"sh", "-c", command + ` "$1"`, "sh", path}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	failed := term.Lend(func() error {
		if err := sh.cfg.Start(cmd); err != nil {
			return err
		}
		return cmd.Wait()
	})
	data, err := file.Read(path, maxSource)
	switch {
	case failed != nil:
		err = fmt.Errorf("the editor %s: %w", command, failed)
	case err == nil && len(data) > maxDraft:
		err = fmt.Errorf("a text of %d KiB, of at most %d", len(data)>>10, maxDraft>>10)
	}
	if err != nil {
		if string(data) != text {
			keep = true
			err = fmt.Errorf("%w; what was edited is in %s, which load runs", err, path)
		}
		return "", err
	}
	return string(data), nil
}

// shellSyntax has the characters by which a command of an editor is more than words.
const shellSyntax = "|&;<>()$`\\\"'*?[#~=%"

// editorCommand returns the command of the user's editor: that of VISUAL, which is for
// terminals that are not dumb, or of EDITOR, or else vi.
func editorCommand(dumb bool) (string, error) {
	visual, from := os.Getenv("VISUAL"), "VISUAL"
	if dumb {
		visual = ""
	}
	if strings.TrimSpace(visual) == "" {
		visual, from = os.Getenv("EDITOR"), "EDITOR"
	}
	if strings.TrimSpace(visual) == "" {
		visual, from = "vi", ""
	}
	program := strings.Fields(visual)[0]
	if strings.ContainsAny(visual, shellSyntax) { // the shell knows what it means
		return visual, nil
	}
	if _, err := exec.LookPath(program); err != nil {
		why := fmt.Errorf("%s, of the variable %s, is no program that can be run", program, from)
		if from == "" {
			why = errors.New("no editor: set VISUAL or EDITOR to the command of one")
		}
		return "", cmp.Or(why, err)
	}
	return visual, nil
}
