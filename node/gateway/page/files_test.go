package page

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// TestFilesAreFew bounds what a browser loads, and finds what its policy would refuse: other
// hosts, and scripts and styles within a document.
func TestFilesAreFew(t *testing.T) {
	t.Parallel()
	refused := regexp.MustCompile(`(?i)\bhttps?:|<script>|<style|\s(style|on[a-z]+)=`)
	size := 0
	entries, err := fs.ReadDir(static, "static")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		content, err := static.ReadFile("static/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		size += len(content)
		text := strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", "") // a name, and no address
		if strings.HasSuffix(e.Name(), ".js") {
			text = regexp.MustCompile(`(?i)\s(style|on[a-z]+)=`).ReplaceAllString(text, "") // assignments
		}
		if found := refused.FindString(text); found != "" {
			t.Errorf("%s has %q", e.Name(), found)
		}
	}
	if size >= 100_000 {
		t.Errorf("the page has %d bytes", size)
	}
}
