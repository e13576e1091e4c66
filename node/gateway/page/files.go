package page

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// A file is one of static/.
type file struct {
	content   []byte
	mediaType string
	etag      string
}

// files are those of static/, by name. Templates are not among them: what they say depends
// on the session.
var files = sync.OnceValue(func() map[string]file {
	all := make(map[string]file)
	entries, _ := fs.ReadDir(static, "static") // embedded: it cannot fail
	for _, e := range entries {
		if e.IsDir() || strings.HasSuffix(e.Name(), ".html") {
			continue
		}
		content, _ := static.ReadFile("static/" + e.Name())
		sum := sha256.Sum256(content)
		all[e.Name()] = file{content, cmp.Or(mediaTypes[path.Ext(e.Name())], "application/octet-stream"), `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return all
})

// mediaTypes does not depend on the files of the machine, as package mime does.
var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
	".ico": "image/x-icon",
}

// File returns a file of the page: its content, which the caller must not change, its media
// type, and the ETag with its quotes. It reports false if there is no such file. It may be
// called from any number of goroutines.
func File(name string) (content []byte, mediaType, etag string, ok bool) {
	f, ok := files()[name]
	return f.content, f.mediaType, f.etag, ok
}

// IndexData is what index.html has to know.
type IndexData struct {
	Version string // of the program and of Go
	CSRF    string // token that /page/act wants to see
	Token   bool   // there is a session that can be ended
	Node    string // that serves the page
	Members []Member
	Err     string // why there are no members; usually empty
	Time    time.Time
}

// LoginData is what login.html has to know.
type LoginData struct {
	Wrong bool   // the token was wrong
	Node  string // that serves the page
	Next  string // where the browser was about to go, relative to the page; empty: the page
}

var templates = sync.OnceValues(func() (*template.Template, error) {
	return template.ParseFS(static, "static/*.html")
})

// Index writes the page. What comes from peers is escaped.
func Index(w io.Writer, d IndexData) error { return execute(w, "index.html", d) }

// Login writes the form that asks for the token.
func Login(w io.Writer, d LoginData) error { return execute(w, "login.html", d) }

func execute(w io.Writer, name string, data any) error {
	t, err := templates()
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, name, data)
}
