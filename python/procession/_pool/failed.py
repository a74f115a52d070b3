"""What becomes of the tasks of a map that fail: raised at the end, given as values, or left out."""

import threading
from time import monotonic

from procession._pool.further import Around

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FirstError", "TaskFailed", "check", "take"]


class TaskFailed:
    """Stands among the results of a map with `on_error="return"` for a task that failed for good: it raised an
    exception, ran longer than its `timeout`, or its worker died. It is true or false as any object is, so ask by
    `isinstance`.

    Attributes:
        item: what the task was given.
        index: its place in the map, from 0.
        exception: what it raised, or why it was lost; `raise failed.exception` raises it here.
    """

    __slots__ = ("_text", "exception", "index", "item")

    def __init__(self, item: "Any", index: int, exception: BaseException) -> None:
        self.item = item
        self.index = index
        self.exception = exception
        self._text: str | None = None

    def __repr__(self) -> str:
        import reprlib

        return f"<TaskFailed {self.index}, {reprlib.repr(self.item)}: {type(self.exception).__name__}>"

    def __reduce__(self):
        # A pickle of the exception has no traceback.
        return TaskFailed, (self.item, self.index, self.exception), (None, {"_text": self.traceback})

    @property
    def traceback(self) -> str:
        """The traceback as text, that of the worker included."""
        if self._text is None:
            import traceback

            self._text = "".join(traceback.format_exception(self.exception))
        return self._text


TaskFailed.__module__ = "procession"  # where programs find it


class _Skipped:
    """Stands where a result is left out."""

    def __reduce__(self):
        return "SKIPPED"


SKIPPED = _Skipped()


_ANSWERS = ("raise", "return", "skip")


def check(on_error):
    """Look at the value for a whole pool.

    Raises:
        ValueError: there is no such answer.
    """
    if on_error not in _ANSWERS:
        raise ValueError(f"on_error must be 'raise', 'return' or 'skip', not {on_error!r}")


def take(call, on_error):
    """Have failures of a map returned as `TaskFailed`, or their tasks left out of the results.

    Raises:
        ValueError: there is no such answer.
        TypeError: the call is no map, and asks for one by itself.
    """
    check(on_error)
    if on_error == "raise":
        return
    if call.order == "apply":
        if call.pool._further.get("on_error") == on_error:
            return  # what is said of the maps of a pool
        raise TypeError(f"on_error={on_error!r} is for maps: the call of one task raises what it raised")
    if on_error == "return":
        call.collect(failed=lambda item, given, error: TaskFailed(given, call.place_of(item), error))
        return
    skips = _Skips()
    call.collect(failed=skips.skip)
    call.around.append(lambda job: _Unskipped(job, skips))
    if call.order in ("map", "starmap"):
        call.values.append(lambda values: [value for value in values if value is not SKIPPED])


class _Skips:
    """Counts what is left out."""

    def __init__(self):
        self.count = 0
        self._lock = threading.Lock()

    def skip(self, item, given, error):
        """Leave a task out."""
        with self._lock:
            self.count += 1
        return SKIPPED


class _Unskipped(Around):
    """A map without the outcomes that are left out, which it knows the number of."""

    def __init__(self, job, skips):
        super().__init__(job)
        self._skips = skips

    @property
    def skipped(self):
        return self._skips.count

    def next(self, timeout):
        until = None if timeout is None else monotonic() + timeout
        while True:
            found = self.job.next(timeout if until is None else max(0.0, until - monotonic()))
            if found is None or found[0] is not SKIPPED:
                return found


class FirstError:
    """The option `first_error`."""

    @staticmethod
    def check(value):
        """Look at the value for a whole pool.

        Raises:
            ValueError: there is no such choice.
        """
        if value not in ("position", "time"):
            raise ValueError(f"first_error must be 'position' or 'time', not {value!r}")

    @staticmethod
    def take(call, value):
        """Have a map raise the failure that came first, and not that of the first item.

        Raises:
            ValueError: there is no such choice.
            TypeError: the call raises each failure where it belongs, and asks for another one by itself.
        """
        FirstError.check(value)
        if call.order in ("map", "starmap"):
            call.collect(by_time=value == "time")
        elif value == "time" and call.pool._further.get("first_error") != value:
            raise TypeError(
                f"first_error='time' is for maps that raise one failure at their end: {call.order}() does not"
            )
