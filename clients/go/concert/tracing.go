package concert

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Traceparent is the W3C trace context of the span that ctx is in; empty without one.
//
// Only the API of OpenTelemetry is used: whether and where spans are exported is the program's decision.
func Traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// WithTraceparent is ctx within a span of another process, as Traceparent told it there.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}
