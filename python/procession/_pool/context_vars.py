"""Context variables that tasks find as their caller had them: those that the program marks."""

import functools
from contextvars import ContextVar, copy_context

from procession._pool.informed import Informed
from procession._pool.worker import Terms

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["captured", "context_var", "take"]

_MISSING: "Any" = object()
_marked: "dict[str, ContextVar[Any]]" = {}
# What has come for variables that nobody has marked in this process yet, of the call that runs.
_waiting: "ContextVar[dict[str, Any]]" = ContextVar("what waits for variables")


def context_var(name: str, *, default: "_T" = _MISSING) -> "ContextVar[_T]":
    """Return a context variable that reaches tasks: what it is set to where a pool is called is what the task finds.

    The value travels with the function, so it has to be picklable, and is best small. What a task sets stays in it.

    Args:
        name: tells the variable from others, in all processes; there is one of each name.
        default: what it is where nobody has set it.

    Raises:
        TypeError: the name is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a context variable must be a text, not {name!r}")
    variable = _marked.get(name)
    if variable is None:
        variable = ContextVar(name) if default is _MISSING else ContextVar(name, default=default)
        _marked[name] = variable
        value = _waiting.get({}).get(name, _MISSING)
        if value is not _MISSING:
            variable.set(value)
        # From now on each call of each pool takes along what is set.
        Terms.further.setdefault("context", True)
    return variable


context_var.__module__ = "procession"  # where programs find it


def captured() -> "dict[str, Any]":
    """Return the marked variables that are set here, by name."""
    context = copy_context()
    return {name: context[variable] for name, variable in _marked.items() if variable in context}


def take(call, values):
    """Have the tasks of a call find variables set: to `values`, by name, or as they are set here (True)."""
    found = captured() if values is True else values
    if type(found) is not dict:  # the option is for those who hand in a call later than they have it
        raise TypeError(f"{call.order}() got an unexpected keyword argument 'context'")
    call.function = Carrying(call.function)
    call.function.values = found


class Carrying(Informed):
    """A function that finds variables set; what it is called as by itself tells the rest of its tasks."""

    values: "dict[str, Any]"

    @property
    def inner(self):
        """What is called in the end, or an informed function."""
        return functools.partial.func.__get__(self)

    @property
    def func(self):
        """What is called in the end, for those who name it."""
        inner = self.inner
        return inner.func if isinstance(inner, Informed) else inner

    def of(self, item):
        """Return the place and the seed of the task with an item."""
        inner = self.inner
        return inner.of(item) if isinstance(inner, Informed) else (item, None)

    def __call__(self, /, *args, **kwargs):
        return copy_context().run(self._run, args, kwargs)

    def _run(self, args, kwargs):
        _waiting.set(self.values)
        for name, value in self.values.items():
            variable = _marked.get(name)
            if variable is not None:
                variable.set(value)
        return Informed.__call__(self, *args, **kwargs)
