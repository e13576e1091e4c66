package boundedlog_test

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/distproc/distproc/node/boundedlog"
)

// A program wraps its logger once, and flushes it before it ends. Package node does that
// for a Config.Logger that does not go through a queue yet.
func ExampleNew() {
	plain := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	log, flush := boundedlog.New(plain)
	log.Info("listening", "addr", "127.0.0.1:4371") // returns at once, even if nobody reads stdout
	flush()
	// Output: level=INFO msg=listening addr=127.0.0.1:4371
}

// A program logs a line for each bad packet, of which a peer may send any number.
func ExampleLimit() {
	limit := boundedlog.NewLimit()
	var written int
	for range 1000 {
		if _, ok := limit.Allow(); ok {
			written++
		}
	}
	fmt.Println("fewer than sent:", written < 1000)
	// Output: fewer than sent: true
}

// Repeats lets the first line for each host pass.
func ExampleRepeats() {
	var repeats boundedlog.Repeats
	for _, host := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		if _, ok := repeats.Allow(host); ok {
			fmt.Println("refused a request from", host)
		}
	}
	// Output:
	// refused a request from 192.0.2.1
	// refused a request from 192.0.2.2
}
