// Sends the scenario with the OpenTelemetry SDK for Go and prints the id of each span.
//
// In: the scenario's path and a trace id as arguments; OTEL_EXPORTER_OTLP_PROTOCOL,
// OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_COMPRESSION as any SDK reads them.
// Out: {"span name": "span id"} on stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type scenario struct {
	RemoteParent struct {
		SpanID     string `json:"span_id"`
		TraceState string `json:"trace_state"`
	} `json:"remote_parent"`
	Resource attributes `json:"resource"`
	Scope    struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"scope"`
	Spans []recipe `json:"spans"`
}

type recipe struct {
	Name       string     `json:"name"`
	Parent     *string    `json:"parent"`
	Kind       string     `json:"kind"`
	Start      string     `json:"start"`
	End        string     `json:"end"`
	Attributes attributes `json:"attributes"`
	Events     []struct {
		Name       string     `json:"name"`
		Time       string     `json:"time"`
		Attributes attributes `json:"attributes"`
	} `json:"events"`
	Links []struct {
		TraceID    string     `json:"trace_id"`
		SpanID     string     `json:"span_id"`
		Attributes attributes `json:"attributes"`
	} `json:"links"`
	Status struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
}

// attributes are values by key, each a pair of its type's name and itself.
type attributes map[string][2]json.RawMessage

func (attributes attributes) keyValues() []attribute.KeyValue {
	var out []attribute.KeyValue
	for key, pair := range attributes {
		out = append(out, keyValue(attribute.Key(key), read[string](pair[0]), pair[1]))
	}
	return out
}

func keyValue(key attribute.Key, kind string, value json.RawMessage) attribute.KeyValue {
	switch kind {
	case "string":
		return key.String(read[string](value))
	case "int":
		return key.Int64(read[int64](value))
	case "double":
		return key.Float64(read[float64](value))
	case "bool":
		return key.Bool(read[bool](value))
	case "string[]":
		return key.StringSlice(read[[]string](value))
	case "int[]":
		return key.Int64Slice(read[[]int64](value))
	case "double[]":
		return key.Float64Slice(read[[]float64](value))
	case "bool[]":
		return key.BoolSlice(read[[]bool](value))
	}
	panic("unknown type " + kind)
}

func read[T any](value json.RawMessage) (out T) {
	must(json.Unmarshal(value, &out))
	return out
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func timeOf(nanoseconds string) time.Time {
	number, err := strconv.ParseInt(nanoseconds, 10, 64)
	must(err)
	return time.Unix(0, number)
}

func spanContext(traceID, spanID, traceState string) trace.SpanContext {
	id, err := trace.TraceIDFromHex(traceID)
	must(err)
	span, err := trace.SpanIDFromHex(spanID)
	must(err)
	state, err := trace.ParseTraceState(traceState)
	must(err)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
}

func startSpan(parent context.Context, tracer trace.Tracer, recipe recipe) context.Context {
	kinds := map[string]trace.SpanKind{
		"INTERNAL": trace.SpanKindInternal, "SERVER": trace.SpanKindServer,
		"CLIENT": trace.SpanKindClient, "PRODUCER": trace.SpanKindProducer,
		"CONSUMER": trace.SpanKindConsumer,
	}
	var links []trace.Link
	for _, link := range recipe.Links {
		links = append(links, trace.Link{
			SpanContext: spanContext(link.TraceID, link.SpanID, ""),
			Attributes:  link.Attributes.keyValues(),
		})
	}
	ctx, span := tracer.Start(parent, recipe.Name,
		trace.WithSpanKind(kinds[recipe.Kind]),
		trace.WithTimestamp(timeOf(recipe.Start)),
		trace.WithAttributes(recipe.Attributes.keyValues()...),
		trace.WithLinks(links...))
	for _, event := range recipe.Events {
		span.AddEvent(event.Name, trace.WithTimestamp(timeOf(event.Time)),
			trace.WithAttributes(event.Attributes.keyValues()...))
	}
	switch recipe.Status.Code {
	case "OK":
		span.SetStatus(codes.Ok, "")
	case "ERROR":
		span.SetStatus(codes.Error, recipe.Status.Message)
	}
	return ctx
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

func main() {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Fatal(err) }))
	text, err := os.ReadFile(os.Args[1])
	must(err)
	scenario := read[scenario](text)
	ctx := context.Background()
	exporter, err := newExporter(ctx)
	must(err)
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(scenario.Resource.keyValues()...)))
	tracer := provider.Tracer(scenario.Scope.Name,
		trace.WithInstrumentationVersion(scenario.Scope.Version))

	parent := scenario.RemoteParent
	root := trace.ContextWithRemoteSpanContext(ctx,
		spanContext(os.Args[2], parent.SpanID, parent.TraceState))
	contexts := map[string]context.Context{}
	ids := map[string]string{}
	for _, recipe := range scenario.Spans {
		parent := root
		if recipe.Parent != nil {
			parent = contexts[*recipe.Parent]
		}
		started := startSpan(parent, tracer, recipe)
		contexts[recipe.Name] = started
		ids[recipe.Name] = trace.SpanContextFromContext(started).SpanID().String()
	}
	for at := len(scenario.Spans) - 1; at >= 0; at-- {
		recipe := scenario.Spans[at]
		trace.SpanFromContext(contexts[recipe.Name]).End(trace.WithTimestamp(timeOf(recipe.End)))
	}
	must(provider.ForceFlush(ctx))
	must(provider.Shutdown(ctx))
	out, err := json.Marshal(ids)
	must(err)
	fmt.Println(string(out))
}
