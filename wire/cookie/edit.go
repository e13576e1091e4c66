package cookie

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/distproc/distproc/wire/file"
)

// A cookie changes in three steps. Each is done on all machines before the next one
// begins, and each node reads its file again before the next machine's turn.
//
//	file        shows  accepts   among its peers
//	old         old    old
//	old, new    old    old, new  old; old, new
//	new, old    new    old, new  old, new; new, old
//	new         new    new       new, old; new
//
// A connection needs that the acceptor accepts what the dialer shows. During a step there
// are files of two neighboring rows, and both of them accept what either shows. So every
// node can connect to every other, in both directions, and the cluster cannot split. A
// client shows the old cookie until step 1 is done, and the new one before step 3 begins.
// Two steps at once would split it: who still has only the old one refuses who shows the
// new one.
//
// The comment that Add writes above a cookie says that it is not shown yet. Promote and
// Retire look for it, so that each of the three steps can be repeated, and step 3 cannot
// come before step 2.

const (
	addedMark   = "# added: accepted, and not shown yet; next, when all nodes accept it: distproc cookie promote"
	retiredMark = "# accepted, and not shown any more; next, when all nodes and clients show the first one: distproc cookie retire"
)

// An entry is a cookie of a file, with the lines in front of it.
type entry struct {
	before [][]byte // comments and empty lines
	cookie []byte
}

func (e *entry) has(mark string) bool {
	return slices.ContainsFunc(e.before, func(line []byte) bool { return string(bytes.TrimSpace(line)) == mark })
}

// mark replaces the marks in front of the cookie. An empty mark is none.
func (e *entry) mark(mark string) {
	e.before = slices.DeleteFunc(e.before, func(line []byte) bool {
		text := string(bytes.TrimSpace(line))
		return text == addedMark || text == retiredMark
	})
	if mark != "" {
		e.before = append(e.before, []byte(mark))
	}
}

// Add appends a cookie to the file at path: it is accepted, and not shown. It reports
// false if the file has the cookie already.
func Add(path string, cookie []byte) (added bool, err error) {
	if err := check(cookie); err != nil {
		return false, err
	}
	if isComment(cookie) || bytes.ContainsAny(cookie, "\r\n") {
		return false, errors.New("a cookie is one line, and does not begin with #")
	}
	err = edit(path, func(list []*entry) ([]*entry, error) {
		if slices.ContainsFunc(list, func(e *entry) bool { return bytes.Equal(e.cookie, cookie) }) {
			return list, nil
		}
		if len(list) == Max {
			return nil, fmt.Errorf("it has %d cookies, the most that are accepted; first: distproc cookie retire", Max)
		}
		added = true
		e := &entry{cookie: cookie}
		e.mark(addedMark)
		return append(list, e), nil
	})
	return added && err == nil, err
}

// Promote moves the cookie that was added last in front of the others, so that it is
// shown. It reports false if the first one has been promoted already.
func Promote(path string) (promoted bool, err error) {
	err = edit(path, func(list []*entry) ([]*entry, error) {
		i := len(list) - 1
		for i > 0 && !list[i].has(addedMark) {
			i--
		}
		switch {
		case i > 0:
		case len(list) == 1:
			return nil, errors.New("it has one cookie, which is shown already; first: distproc cookie add")
		case list[1].has(retiredMark):
			return list, nil
		default:
			return nil, errors.New("it has no cookie that distproc cookie add has added; move the line of the one to show to the top")
		}
		promoted = true
		first := list[i]
		first.mark("")
		list = slices.Delete(list, i, i+1)
		list[0].mark("")
		list[0].before, first.before = first.before, list[0].before // the head of the file stays there
		for _, e := range list {
			if !e.has(addedMark) {
				e.mark(retiredMark)
			}
		}
		return slices.Insert(list, 0, first), nil
	})
	return promoted && err == nil, err
}

// Retire removes all cookies but the first, and returns how many. It refuses if one of
// them was added and never promoted.
func Retire(path string) (n int, err error) {
	err = edit(path, func(list []*entry) ([]*entry, error) {
		if slices.ContainsFunc(list[1:], func(e *entry) bool { return e.has(addedMark) }) {
			return nil, errors.New("it has a cookie that was added and is not shown yet, and would go, too; first: distproc cookie promote")
		}
		n = len(list) - 1
		list[0].mark("")
		return list[:1], nil
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// edit replaces the file at path. The change gets its entries, at least one. Nothing is
// written if they stay the same.
func edit(path string, change func([]*entry) ([]*entry, error)) error {
	text, _, err := read(path)
	if err != nil {
		return err
	}
	list, after := entriesOf(text)
	if list, err = change(list); err != nil {
		return fmt.Errorf("cookie file %s: %w", path, err)
	}
	data := textOf(list, after)
	if bytes.Equal(data, text) {
		return nil
	}
	if len(data) > maxFile {
		return fmt.Errorf("cookie file %s: it would have more than %d bytes", path, maxFile)
	}
	if err := file.Replace(path, data); err != nil {
		return fmt.Errorf("cookie file: %w", err)
	}
	return nil
}

// entriesOf returns the different cookies of a file, and the lines after the last one.
func entriesOf(text []byte) (list []*entry, after [][]byte) {
	for line := range bytes.SplitSeq(bytes.TrimRight(text, "\n"), []byte("\n")) {
		cookie := bytes.TrimSpace(line)
		switch {
		case isComment(cookie):
			after = append(after, line)
		case !slices.ContainsFunc(list, func(e *entry) bool { return bytes.Equal(e.cookie, cookie) }):
			list, after = append(list, &entry{after, cookie}), nil
		}
	}
	return list, after
}

// textOf is the opposite of entriesOf.
func textOf(list []*entry, after [][]byte) []byte {
	var b bytes.Buffer
	for _, e := range list {
		for _, line := range append(e.before, e.cookie) {
			fmt.Fprintf(&b, "%s\n", line)
		}
	}
	for _, line := range after {
		fmt.Fprintf(&b, "%s\n", line)
	}
	return b.Bytes()
}
