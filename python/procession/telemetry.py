"""OpenTelemetry: spans of what tasks of pools do. Their trace context reaches tasks without this module."""

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument", "uninstrument"]


def instrument(tracer_provider: "TracerProvider | None" = None) -> None:
    """Have each task of each pool and executor of this process be told of by spans, in the trace of whoever called the
    pool: `wait f` from the call until the task begins, `run f` around the function, in which its own spans lie, and
    `transfer f` from its end until its result is here.

    The first two are made in the worker by the worker's own provider, which an initializer or the main module sets.

    Args:
        tracer_provider: what makes the spans of this process; None for the global one.

    Raises:
        ImportError: OpenTelemetry is not installed: `pip install procession[otel]`.
    """
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError as error:
        raise ImportError("spans need OpenTelemetry: pip install procession[otel]") from error
    from procession._pool import tracing

    tracing.spans(True, tracer_provider)


def uninstrument() -> None:
    """Have tasks that come be told of no more. They go on to find the trace of their caller."""
    from procession._pool import tracing

    tracing.spans(False)
