package otel_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/otel"
	"github.com/distproc/distproc/node/worker"
)

// A node whose spans go to a recorder; those of a program go to an exporter.
func ExampleTracer() {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	defer provider.Shutdown(context.Background())
	n, err := node.Start(node.Config{
		Name:    "1@127.0.79.77",
		Cookie:  []byte("a long secret that all nodes share"),
		Default: worker.Cache{Load: worker.RandomSource},
		Tracer:  otel.Tracer(provider),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	if _, err := n.Request(context.Background(), worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	for _, s := range slices.Backward(spans.Ended()) {
		fmt.Println(s.Name(), s.Attributes()[1].Value.AsString())
	}
	// Output:
	// request default 7
	// load default 7
}
