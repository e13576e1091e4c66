//go:build unix

package faults_test

import (
	"fmt"

	"github.com/distproc/distproc/cmd/distproc/faults"
)

// On loopback, nodes can be struck by these faults.
func ExampleKinds() {
	fmt.Println(faults.Kinds(false))
	// Output: [kill term pause reset greedy log flood roll]
}
