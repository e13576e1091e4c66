package cookie

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	oldCookie = "the old secret of the cluster"
	newText   = "the new secret of the cluster"
)

// TestSteps changes a cookie: each step can be repeated, none can be left out, and the
// rest of the file stays.
func TestSteps(t *testing.T) {
	t.Parallel()
	path := writeFile(t, filepath.Join(t.TempDir(), "cookie"), "# cluster of the shop\n\n"+oldCookie+"\n# the end\n", 0o600)
	add := func() (bool, error) { return Add(path, []byte(newText)) }
	promote := func() (bool, error) { return Promote(path) }
	retire := func() (bool, error) { n, err := Retire(path); return n > 0, err }
	const (
		shown   = "# cluster of the shop\n\n"
		end     = "# the end\n"
		added   = shown + oldCookie + "\n" + addedMark + "\n" + newText + "\n" + end
		swapped = shown + newText + "\n" + retiredMark + "\n" + oldCookie + "\n" + end
	)
	for i, step := range []struct {
		do      func() (bool, error)
		changed bool
		want    string // the file after it
		err     string
	}{
		{promote, false, shown + oldCookie + "\n" + end, "one cookie, which is shown already"},
		{retire, false, shown + oldCookie + "\n" + end, ""},
		{add, true, added, ""},
		{add, false, added, ""},
		{retire, false, added, "added and is not shown yet, and would go, too; first: distproc cookie promote"},
		{promote, true, swapped, ""},
		{promote, false, swapped, ""},
		{add, false, swapped, ""},
		{retire, true, shown + newText + "\n" + end, ""},
		{retire, false, shown + newText + "\n" + end, ""},
	} {
		changed, err := step.do()
		text, e := os.ReadFile(path)
		// The comment at the end stands in front of the cookie that is added.
		got := strings.Replace(string(text), end, "", 1)
		want := strings.Replace(step.want, end, "", 1)
		if changed != step.changed || (err == nil) != (step.err == "") || err != nil && !strings.Contains(err.Error(), step.err) || e != nil || got != want {
			t.Errorf("step %d: %t, %v, %v; file\n%s\nwant %t, %q\n%s", i, changed, err, e, got, step.changed, step.err, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
}

// TestHandMade edits files without the comments of Add.
func TestHandMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cookie")
	two := oldCookie + "\n" + newText + "\n"
	writeFile(t, path, two, 0o400)
	if _, err := Promote(path); err == nil || !strings.Contains(err.Error(), "move the line of the one to show to the top") {
		t.Errorf("Promote: %v", err)
	}
	if n, err := Retire(path); n != 1 || err != nil {
		t.Errorf("Retire: %d, %v", n, err)
	}
	if text, err := os.ReadFile(path); string(text) != oldCookie+"\n" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("%v, %v: the mode is another one", info, err)
	}
	// Add, and the lines moved by hand together with their comment.
	writeFile(t, path, addedMark+"\n"+two, 0o600)
	if n, err := Retire(path); n != 1 || err != nil {
		t.Errorf("Retire: %d, %v", n, err)
	}
	if text, err := os.ReadFile(path); string(text) != oldCookie+"\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestAddRefuses adds what is no cookie, and one too many.
func TestAddRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cookie")
	writeFile(t, path, oldCookie, 0o600)
	for _, c := range []string{"short", "# 0123456789abcdef", "0123456789abcdef\n0123456789abcdeg"} {
		if _, err := Add(path, []byte(c)); err == nil {
			t.Errorf("%q is added", c)
		}
	}
	for range Max - 1 {
		if added, err := Add(path, New()); !added || err != nil {
			t.Fatal(added, err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Add(path, New()); err == nil || !strings.Contains(err.Error(), "8 cookies, the most") {
		t.Errorf("a ninth one: %v", err)
	}
	if after, _ := os.ReadFile(path); !slices.Equal(before, after) {
		t.Error("the file changes although nothing is added")
	}
	if _, err := Add(filepath.Join(filepath.Dir(path), "none"), New()); err == nil {
		t.Error("there is no file to add to")
	}
}

// FuzzFile takes the three steps on files of any content: where there are cookies, they end
// with the new one alone, and each step leaves a file that can be read.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		"", "#", oldCookie, "# a\n\n" + oldCookie + "\r\n#b\n" + newText + "\n#", addedMark + "\n" + oldCookie + "\n" + retiredMark + "\n" + newText,
		oldCookie + "\n\n" + oldCookie, "\xff\x00 0123456789abcdef\x0b\n\x85", "\n" + addedMark + "\n", oldCookie + "\n" + addedMark + "\n" + newText,
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "cookie")
	f.Fuzz(func(t *testing.T, text string) {
		writeFile(t, path, text, 0o600)
		before, err := Read(path)
		if err != nil || len(before) == Max || len(text) > maxFile/2 {
			return
		}
		secret := New()
		if added, err := Add(path, secret); !added || err != nil {
			t.Fatalf("%q: Add: %t, %v", text, added, err)
		}
		if list, err := Read(path); err != nil || len(list) != len(before)+1 || string(list[0]) != string(before[0]) {
			t.Fatalf("%q: after Add %q, %v", text, list, err)
		}
		if promoted, err := Promote(path); !promoted || err != nil {
			t.Fatalf("%q: Promote: %t, %v", text, promoted, err)
		}
		if list, err := Read(path); err != nil || len(list) != len(before)+1 || string(list[0]) != string(secret) {
			t.Fatalf("%q: after Promote %q, %v", text, list, err)
		}
		if _, err := Retire(path); err != nil && !strings.Contains(text, addedMark) {
			t.Fatalf("%q: Retire: %v", text, err)
		} else if list, e := Read(path); e != nil || string(list[0]) != string(secret) || err == nil && len(list) != 1 {
			t.Fatalf("%q: after Retire %q, %v", text, list, e)
		}
	})
}
