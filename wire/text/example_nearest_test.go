package text_test

import (
	"fmt"

	"github.com/distproc/distproc/wire/text"
)

func ExampleNearest() {
	keys := []string{"drain_delay", "drain_timeout", "join"}
	fmt.Printf("%q %q\n", text.Nearest("drain_timeuot", keys), text.Nearest("weight", keys))
	// Output: "drain_timeout" ""
}
