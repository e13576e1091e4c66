package boundedlog_test

import (
	"log/slog"
	"os"

	"github.com/distproc/distproc/node/boundedlog"
)

// A program wraps its logger once, and flushes it before it ends. Package node does that for
// a Config.Logger that does not go through a queue yet.
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
