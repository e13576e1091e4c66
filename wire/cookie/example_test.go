package cookie_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/distproc/distproc/wire/cookie"
)

// The first node of a user makes the cookie; clients read the same file.
func ExampleLoad() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "distproc", "cookie")
	_, err = cookie.Read(path)
	fmt.Println("none yet:", errors.Is(err, fs.ErrNotExist))
	made, err := cookie.Load(path)
	fmt.Println(len(made), "of", len(made[0]), "bytes,", err)
	read, err := cookie.Read(path)
	fmt.Println("the same:", string(read[0]) == string(made[0]), err)
	// Output:
	// none yet: true
	// 1 of 64 bytes, <nil>
	// the same: true <nil>
}

func ExampleParse() {
	_, err := cookie.Parse([]byte("secret\n"))
	fmt.Println(err)
	// Output: the cookie has 6 bytes, at least 16 are needed; make one with: head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

// A running cluster changes its cookie in three steps, each on all machines.
func ExamplePromote() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cookie")
	if err := os.WriteFile(path, []byte("the old secret of the cluster\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	show := func() {
		list, err := cookie.Read(path)
		fmt.Printf("%q %v\n", list, err)
	}
	cookie.Add(path, []byte("the new secret of the cluster"))
	show()
	cookie.Promote(path)
	show()
	cookie.Retire(path)
	show()
	// Output:
	// ["the old secret of the cluster" "the new secret of the cluster"] <nil>
	// ["the new secret of the cluster" "the old secret of the cluster"] <nil>
	// ["the new secret of the cluster"] <nil>
}
