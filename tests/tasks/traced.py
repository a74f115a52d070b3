"""Tasks in a trace of OpenTelemetry, whose spans stay in the memory of the process."""

from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()


def begin():
    """Keep the spans of this process, which may be a copy of one that does."""
    global kept
    kept = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(kept))


def here():
    """The trace and the span that this is in, and who asked for it."""
    found = trace.get_current_span().get_span_context()
    return found.trace_id, found.span_id, baggage.get_baggage("user")


def look(number):
    """A task with a span of its own."""
    with trace.get_tracer("tests").start_as_current_span("own"):
        if number == 3:
            raise ValueError(number)
    return here()


def told(_=None):
    """What the spans of this process are: name, trace, parent, status, attributes, begin and end."""
    return [
        (span.name, span.context.trace_id, span.context.span_id, span.parent and span.parent.span_id)
        + (span.status.status_code.name, dict(span.attributes), span.start_time, span.end_time)
        for span in kept.get_finished_spans()
    ]
