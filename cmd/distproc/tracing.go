package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/go-logr/logr"
	telemetry "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/otel"
	"github.com/distproc/distproc/wire/text"
)

const flushTime = 2 * time.Second // for the last spans, when a node ends

// tracing returns a tracer that sends spans where the environment variables of OpenTelemetry
// say, or nil if none of them does; see https://opentelemetry.io/docs/specs/otel/configuration/.
// Stop sends the last ones.
func tracing(name string, log *slog.Logger) (t observe.Tracer, stop func(), err error) {
	stop = func() {}
	if on, err := exportsTraces(); !on || err != nil {
		return nil, stop, err
	}
	quietTelemetry(log)
	ctx := context.Background()
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, stop, fmt.Errorf("OpenTelemetry: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "distproc"), attribute.String("service.instance.id", name), attribute.String("service.version", version()),
	), resource.WithFromEnv())
	if err != nil {
		return nil, stop, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w; write name=value,name=value", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return otel.Tracer(provider), func() {
		ctx, cancel := context.WithTimeout(ctx, flushTime)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("the last spans are lost", "why", text.Printable(err.Error()))
		}
	}, nil
}

// exportsTraces reports whether the environment asks for spans to be sent. It refuses what this
// program cannot do.
func exportsTraces() (bool, error) {
	exporter := os.Getenv("OTEL_TRACES_EXPORTER")
	switch {
	case os.Getenv("OTEL_SDK_DISABLED") == "true", exporter == "none":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %s; say otlp or none", text.Quote(exporter))
	}
	set := exporter != ""
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		value := os.Getenv(variable)
		if value == "" {
			continue
		}
		set = true
		if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return false, fmt.Errorf("%s is %s; write the collector's address, such as http://127.0.0.1:4318", variable, text.Quote(value))
		}
	}
	if !set {
		return false, nil
	}
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if value := os.Getenv(variable); cmp.Or(value, "http/protobuf") != "http/protobuf" {
			return false, fmt.Errorf("%s is %s; distproc speaks http/protobuf, for which collectors listen on port 4318", variable, text.Quote(value))
		}
	}
	return true, nil
}

// quietTelemetry has OpenTelemetry tell its errors to the log: each once a minute.
func quietTelemetry(log *slog.Logger) {
	said := new(boundedlog.Repeats)
	telemetry.SetErrorHandler(telemetry.ErrorHandlerFunc(func(err error) {
		why := text.Line(err.Error(), maxTelemetryError)
		if leftOut, ok := said.Allow(why); ok {
			log.Warn("spans cannot be sent", append([]any{"why", why}, leftOut...)...)
		}
	}))
	telemetry.SetLogger(logr.Discard())
}

const maxTelemetryError = 300 // bytes
