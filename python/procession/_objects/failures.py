"""Failures that can travel between processes, for the engine of a pool."""

import _pickle as pickle  # without what `pickle` loads
import sys

__all__ = ["MaybeEncodingError", "RemoteTraceback"]

_REPR_LIMIT = 10_000
_PROTOCOL = 5  # the highest
_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})


class RemoteTraceback(Exception):
    """The traceback of an exception in the worker that raised it, as text; the `__cause__` of the exception here."""

    def __init__(self, tb: str) -> None:
        self.tb = tb

    def __str__(self):
        return self.tb


class MaybeEncodingError(Exception):
    """A result or an exception of a task could not be sent back.

    Attributes:
        exc: what went wrong with sending, as text.
        value: what was to be sent, as text.
        raised: whether that is an exception that the task raised.
    """

    def __init__(self, exc: object, value: object, raised: bool = False) -> None:
        self.exc = _text(exc)
        self.value = _text(value)
        self.raised = raised
        super().__init__(self.exc, self.value, raised)

    def __str__(self):
        if self.raised:
            return f"the task raised {self.value}; the exception itself cannot travel: {self.exc}"
        return f"cannot send the result {self.value} back: {self.exc}. Return something that can be pickled"

    def __repr__(self):
        return f"<{type(self).__name__}: {self}>"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"
    return text if len(text) <= _REPR_LIMIT else text[:_REPR_LIMIT] + "..."


# Where programs find them.
MaybeEncodingError.__module__ = "procession"
RemoteTraceback.__module__ = "procession.pool"


# -- in the worker --------------------------------------------------------------------------------------------------


def failure(error: BaseException, refused: "BaseException | None" = None, of_initializer: bool = False) -> bytes:
    """Return bytes that `rebuild` makes an exception of, in another process.

    Args:
        error: the exception.
        refused: what pickling has raised, where `error` says so.
        of_initializer: whether an initializer has raised it.
    """
    try:
        lines = _traceback_lines(error)
        # The frames of the pool itself say nothing: there are none above the task's.
        remote = f'\n"""\n{"".join(lines)}"""'
    except BaseException as raised:
        remote = f"(the traceback could not be formatted: {type(raised).__name__})"
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    try:
        message = str(error)
    except BaseException as raised:
        message = f"<str() of the exception raises {type(raised).__name__}>"
    problem = None
    try:
        pickled = _pickled(error)
    except BaseException as raised:
        pickled, problem, refused = None, f"{type(raised).__name__}: {raised}", raised
    notes: dict[str, object] = {}
    if of_initializer:
        notes["of_initializer"] = True
    if refused is not None:
        try:
            notes["refused"] = _pickled(refused)
        except Exception:  # who reads of it has the text
            pass
    return pickle.dumps((pickled, remote, name, message[:_REPR_LIMIT], problem, notes), _PROTOCOL)


def _pickled(error: BaseException) -> bytes:
    if (
        type(error).__module__ == "builtins"
        and not error.__dict__
        and all(type(value) in _PLAIN for value in error.args)
    ):
        return pickle.dumps(error, _PROTOCOL)
    from procession import reduction

    # Its class may be one of a notebook, or stand in a function.
    return bytes(reduction.ForkingPickler.dumps(error, _PROTOCOL))


def _traceback_lines(error: BaseException) -> list[str]:
    try:
        from traceback import format_exception
    except Exception:  # such as no descriptor left to load it with
        lines, place = ["Traceback (most recent call last):\n"], error.__traceback__
        while place is not None:
            code = place.tb_frame.f_code
            lines.append(f'  File "{code.co_filename}", line {place.tb_lineno}, in {code.co_name}\n')
            place = place.tb_next
        return [*lines, f"{type(error).__qualname__}: {error}\n"]
    return format_exception(type(error), error, error.__traceback__)


def unsendable(error: BaseException, value: object) -> bytes:
    """Return the bytes of the failure of a task whose result `value` cannot be sent because of `error`."""
    try:
        from procession._objects import culprit

        error = culprit.with_path(error, value)
    except Exception:  # such as no descriptor left to load it with
        pass
    return failure(MaybeEncodingError(error, value), error)


# -- in the parent --------------------------------------------------------------------------------------------------


def rebuild(sent: bytes) -> BaseException:
    """Return the exception behind the bytes of `failure`; one that cannot be rebuilt becomes a MaybeEncodingError."""
    pickled, remote, name, message, problem, notes = pickle.loads(sent)
    error = None
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except BaseException as raised:
            problem = f"it cannot be rebuilt here: {type(raised).__name__}: {raised}"
        else:
            if not isinstance(error, BaseException):
                error, problem = None, f"it became a {type(error).__name__} on the way"
    if error is None:
        error = MaybeEncodingError(problem, f"{name}: {message}", raised=True)
    late = sys.modules.get("procession._late_exceptions")
    if late is not None and type(error) is late.WorkerDied and (cause := vars(error).pop("_cause", None)) is not None:
        cause.__cause__, error.__cause__ = RemoteTraceback(remote), cause
    else:
        error.__cause__ = RemoteTraceback(remote)
    if notes and type(error.__cause__) is RemoteTraceback:
        vars(error.__cause__).update(notes)
    return error
