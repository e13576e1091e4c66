package repl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxEntries = 10_000                 // of a folder that completion reads
	folderTime = 300 * time.Millisecond // for a folder, which may be that of a machine that is away
)

// readingFolder is set while a folder is read: one that never answers holds one goroutine.
var readingFolder atomic.Bool

// files returns the files and folders whose names begin with what is typed, folders with a
// slash. Hidden ones are left out unless a dot is typed.
func files(typed string) []offer {
	if !readingFolder.CompareAndSwap(false, true) {
		return nil
	}
	found := make(chan []offer, 1)
	go func() {
		defer readingFolder.Store(false)
		found <- readFolder(filepath.Split(typed))
	}()
	select {
	case list := <-found:
		return list
	case <-time.After(folderTime):
		return nil
	}
}

func readFolder(dir, begin string) (list []offer) {
	f, err := os.Open(dir + ".") // no pipe is waited for, as that is no folder
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, _ := f.ReadDir(maxEntries) // those before an error are good
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, begin) || begin == "" && name[0] == '.' {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, name)) // of what a link leads to
		switch {
		case err != nil:
		case info.IsDir():
			list = append(list, offer{text: dir + name + "/", help: "folder", goesOn: true})
		case info.Mode().IsRegular():
			list = append(list, offer{text: dir + name, help: "file"})
		}
	}
	slices.SortFunc(list, func(a, b offer) int { return strings.Compare(a.text, b.text) })
	return list
}
