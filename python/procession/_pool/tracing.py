"""OpenTelemetry: tasks find the trace that their caller is in, and tell as spans how long they waited, ran, travelled.

Nothing of it is imported before the program has done so.
"""

import functools
import sys
import time

from procession import _procession as engine, util
from procession._pool import current
from procession._pool.context_vars import Carrying
from procession._pool.informed import Informed
from procession._pool.texts import function_name
from procession._pool.worker import Terms

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

    from opentelemetry.trace import Tracer, TracerProvider

__all__ = ["Traced", "captured", "notice", "spans", "take"]

_NAME = "procession"
# Whether tasks tell of themselves, and by whose spans in this process; None for the program's own.
_tells = False
_provider: "TracerProvider | None" = None
# The propagators of the W3C, which write what is in the current context.
_OF_CONTEXTS = {
    ("opentelemetry.trace.propagation.tracecontext", "TraceContextTextMapPropagator"),
    ("opentelemetry.baggage.propagation", "W3CBaggagePropagator"),
}
# The program's propagator, if it has none but these.
_of_contexts: "object | None" = None
# The provider that was asked last, and what it made.
_made: "tuple[TracerProvider, Tracer] | None" = None


def notice():
    """OpenTelemetry is loaded: from now on each call of each pool takes along the trace that it is in."""
    Terms.further.setdefault("tracing", True)


def spans(wanted: bool, provider: "TracerProvider | None" = None) -> None:
    """Have tasks tell of themselves by spans, or not any more."""
    global _tells, _provider
    _tells, _provider = wanted, provider
    notice()


def captured() -> "tuple[dict[str, str], int | None] | None":
    """Return what tasks are told: the caller's trace as the program's propagators write it, and when they were asked
    for, in nanoseconds, if spans are; None for nothing."""
    carrier: dict[str, str] = {}
    propagate = _loaded("opentelemetry.propagate")
    if propagate is not None and not _is_nowhere(propagate):
        propagate.inject(carrier)
    return (carrier, time.time_ns() if _tells else None) if carrier or _tells else None


def _is_nowhere(propagate):
    """Return whether this is in no trace, without baggage, and the program's propagators write nothing else: it takes
    long to ask them."""
    global _of_contexts
    context = sys.modules.get("opentelemetry.context")
    if context is None or context.get_current():
        return False
    propagator = propagate.get_global_textmap()
    if propagator is not _of_contexts:
        parts = map(type, getattr(propagator, "_propagators", (propagator,)))
        if not all((part.__module__, part.__qualname__) in _OF_CONTEXTS for part in parts):
            return False
        _of_contexts = propagator
    return True


def _loaded(name):
    """Return a module of OpenTelemetry where that is loaded, and its own parts can be."""
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", True):
        return module  # an import takes longer than all the rest
    if "opentelemetry" not in sys.modules:
        return None
    try:
        __import__(name)
    except Exception:  # what its variables of the environment ask for may not be there
        return None
    return sys.modules[name]


def take(call, value):
    """Have the tasks of a call find a trace: `value`, of `captured`, or the one that is here (True)."""
    told = captured() if value is True else value
    if told is None:
        return
    if type(told) is not tuple:  # the option is for those who hand in a call later than they have it
        raise TypeError(f"{call.order}() got an unexpected keyword argument 'tracing'")
    call.function = Traced(call.function)
    call.function.carrier, call.function.asked = told


class Traced(Carrying):
    """A function that finds a trace. It is a span itself, beside one for its wait and one for its way back, where these
    are asked for.

    Attributes:
        carrier: the trace.
        asked: when the call was made, in nanoseconds, or None without spans.
    """

    values: "dict[str, Any]" = {}
    carrier: "dict[str, str]"
    asked: "int | None"

    def _run(self, args, kwargs):
        call = functools.partial(Informed.__call__, self, *args, **kwargs)
        try:
            from opentelemetry import context, propagate, trace
        except Exception:  # the program has it, and this worker has not, or not what its environment asks for
            return call()
        around = propagate.extract(self.carrier)
        context.attach(around)  # of a copy of the variables, which ends with the task
        if self.asked is None:
            return call()
        name = function_name(self)
        begun = time.time_ns()
        try:
            tracer = _tracer(trace)
            # The clock of another machine may be behind.
            tracer.start_span(f"wait {name}", around, start_time=min(self.asked, begun)).end(begun)
        except Exception as error:  # that is no fault of the task
            util.sub_warning("no span could be made: %s", error)
            return call()
        task = current.current_task()
        about = {"index": task.index, "worker": task.worker, "tries": task.tries}
        attributes = {f"{_NAME}.{key}": value for key, value in about.items() if value is not None}
        with tracer.start_as_current_span(f"run {name}", attributes=attributes, start_time=begun):
            value = call()
        return Sent(value, self.carrier, name, time.time_ns()) if current.in_worker() else value


class Sent:
    """A result on its way from a worker: it is the result itself where it arrives."""

    def __init__(self, value, *about):
        self._value = value
        self._about = about

    def __reduce__(self):
        return arrived, (self._value, *self._about)

    def __repr__(self):
        return repr(self._value)


def arrived(value: "Any", carrier: "dict[str, str]", name: str, sent: int) -> "Any":
    """Return a result that has come, and tell how long it took."""
    trace = _loaded("opentelemetry.trace") if _tells else None
    if trace is not None:
        now = time.time_ns()
        try:
            from opentelemetry import propagate

            around = propagate.extract(carrier)
            _tracer(trace).start_span(f"transfer {name}", around, start_time=min(sent, now)).end(now)
        except Exception as error:  # that is no fault of the result
            util.sub_warning("no span could be made: %s", error)
    return value


def _tracer(trace) -> "Tracer":
    """Return what makes spans, one for a provider: each costs it something."""
    global _made
    provider = _provider or trace.get_tracer_provider()
    if _made is None or _made[0] is not provider:
        _made = provider, trace.get_tracer(_NAME, engine.__version__, provider)
    return _made[1]
