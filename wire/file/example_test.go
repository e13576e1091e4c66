package file_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/distproc/distproc/wire/file"
)

func ExampleReadSecret() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("a secret"), 0o600); err != nil {
		log.Fatal(err)
	}
	text, err := file.ReadSecret(path, 4096)
	fmt.Printf("%s, %v\n", text, err)

	if err := os.Chmod(path, 0o644); err != nil {
		log.Fatal(err)
	}
	_, err = file.ReadSecret(path, 4096)
	fmt.Println(strings.ReplaceAll(err.Error(), dir, "…"))
	_, err = file.Read(path, 5)
	fmt.Println(strings.ReplaceAll(err.Error(), dir, "…"))
	// Output:
	// a secret, <nil>
	// …/token can be read by others (mode 0644); run: chmod 600 …/token
	// …/token is larger than 5 bytes; is it the right file?
}

func ExampleReplace() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("an old secret"), 0o600); err != nil {
		log.Fatal(err)
	}
	err = file.Replace(path, []byte("a new secret"))
	text, _ := file.ReadSecret(path, 4096)
	fmt.Printf("%s, %v\n", text, err)
	// Output: a new secret, <nil>
}
