package dev.concert.internal;

import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.util.HashMap;
import java.util.Map;

/** Trace context across processes. Only the API is used: whether and where spans are exported is the program's decision. */
public final class Tracing {
    static final String TRACEPARENT = "traceparent";
    private static final W3CTraceContextPropagator PROPAGATOR = W3CTraceContextPropagator.getInstance();
    private static final TextMapGetter<String> GETTER = new TextMapGetter<>() {
        @Override
        public String get(String traceparent, String key) {
            return TRACEPARENT.equals(key) ? traceparent : null;
        }
    };

    private Tracing() {}

    /** The W3C traceparent of the span in whose context this is called; empty without one. */
    public static String currentTraceparent() {
        if (!Span.current().getSpanContext().isValid()) {
            return "";
        }
        Map<String, String> carrier = new HashMap<>();
        PROPAGATOR.inject(Context.current(), carrier, Map::put);
        return carrier.getOrDefault(TRACEPARENT, "");
    }

    /** A span that is the child of {@code traceparent}, of none when that is empty. */
    public static Span start(String name, String traceparent, Attributes attributes) {
        Context parent =
                traceparent.isEmpty() ? Context.root() : PROPAGATOR.extract(Context.root(), traceparent, GETTER);
        return GlobalOpenTelemetry.getTracer("concert")
                .spanBuilder(name)
                .setParent(parent)
                .setAllAttributes(attributes)
                .startSpan();
    }
}
