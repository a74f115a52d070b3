"""What programs of other languages share with this one, and programs that are handed it.

Values cross in one form that all of them read: docs/wire.md. Locks, semaphores and events are those of the package.
"""

import os

from procession import _procession as engine, process, reduction
from procession._checks import whole
from procession._procession import duplicate_above, memory_file
from procession.synchronize import Lock

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Any

__all__ = ["Program", "Queue", "SharedSlice"]

# The letters of numbers, with what other languages know them by: their kind, and their bytes.
_ITEMS = {
    "b": ("i", 1),
    "B": ("u", 1),
    "h": ("i", 2),
    "H": ("u", 2),
    "i": ("i", 4),
    "I": ("u", 4),
    "q": ("i", 8),
    "Q": ("u", 8),
    "f": ("f", 4),
    "d": ("f", 8),
}
_LETTERS = {item: letter for letter, item in _ITEMS.items()}
_HEAD_BYTES = 64  # of a shared slice, in which its lock is


class Queue(engine.NeutralQueue):
    """A queue of values for programs of every language; to a Rust program it is a `procession::Queue`.

    What is put is written down at once: None, bool, int, float, str, bytes, list, tuple, dict, and arrays of numbers.
    It travels to other processes as other queues do.

    Args:
        maxsize: how many values there may be; 0 or less is as many as there is memory for.
    """

    def __new__(cls, maxsize: int = 0) -> "Queue":
        most = whole(maxsize, "maxsize")
        limit = engine.Semaphore.MOST
        return super().__new__(cls, min(most, limit) if most > 0 else limit)

    @classmethod
    def _rebuilt(cls, descriptor):
        return engine.NeutralQueue.__new__(cls, 1, descriptor)

    def __reduce__(self):
        process.assert_spawning(self)
        return _queue, (reduction.DupFd(self._share()[0]),)


def _queue(descriptor):
    return Queue._rebuilt(descriptor.detach())


class SharedSlice:
    """Numbers in memory that programs of every language see, and the lock that goes with them.

    To a Rust program it is a `procession::SharedSlice`.

    `numpy.asarray(slice)` and `slice.view` are the numbers themselves, without a copy. Whoever reads or writes more
    than one of them holds the lock meanwhile, by `with slice:`.

    Args:
        typecode: a letter as of `array.array`, of those with a size that all languages know: one of bBhHiIqQfd.
        numbers: how many zeros, or the numbers that it begins with.

    Raises:
        ValueError: another letter, or a negative number of zeros.
    """

    lock: Lock
    view: "memoryview[Any]"

    def __init__(self, typecode: str, numbers: "int | Iterable[float]") -> None:
        if typecode not in _ITEMS:
            raise ValueError(f"typecode is one of {''.join(_ITEMS)}, not {typecode!r}")
        initial = None
        if isinstance(numbers, int):
            count = numbers
        else:
            import array

            initial = array.array(typecode, numbers)
            count = len(initial)
        if count < 0:
            raise ValueError(f"there are 0 numbers or more, not {count}")
        item = _ITEMS[typecode]
        self._open(item, memory_file("procession-shared", _HEAD_BYTES + count * item[1]), count * item[1])
        if initial:
            self.view[:] = memoryview(initial)

    def _open(self, item, descriptor, size):
        """Take over the descriptor of the memory, `size` bytes of which are numbers."""
        import mmap

        try:
            self._memory = mmap.mmap(descriptor, _HEAD_BYTES + size)  # which has a descriptor of its own
            self.lock = Lock._rebuilt(engine.Cell.open(duplicate_above(descriptor, 0), 0, _HEAD_BYTES), False)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = engine.Held(descriptor)
        self._number = descriptor
        self._item, self._size = item, size
        letter: Any = _LETTERS[item]  # of the many that checkers know
        self.view = memoryview(self._memory)[_HEAD_BYTES:].cast(letter)

    @classmethod
    def _rebuilt(cls, item, descriptor, size):
        made = cls.__new__(cls)
        if tuple(item) not in _LETTERS:
            os.close(descriptor)
            raise TypeError(f"a shared slice of numbers that Python has not: kind {item[0]} of {item[1]} bytes")
        made._open(tuple(item), descriptor, size)
        return made

    def _share(self):
        return self._number, 0, self._size

    def __reduce__(self):
        process.assert_spawning(self)
        return _slice, (self._item, reduction.DupFd(self._number), self._size)

    @property
    def typecode(self) -> str:
        """The letter of its numbers."""
        return _LETTERS[self._item]

    @property
    def __array_interface__(self) -> "dict[str, Any]":
        kind, size = self._item
        typestr = f"|{kind}{size}" if size == 1 else f"<{kind}{size}"
        return {
            "version": 3,
            "shape": (len(self.view),),
            "typestr": typestr,
            "data": self._memory,
            "offset": _HEAD_BYTES,
        }

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, place: "Any") -> "Any":
        return self.view[place].tolist() if isinstance(place, slice) else self.view[place]

    def __setitem__(self, place: int, number: float) -> None:
        self.view[place] = number

    def __enter__(self) -> "SharedSlice":
        self.lock.acquire()
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", traceback: "TracebackType | None"
    ) -> None:
        self.lock.release()

    def __repr__(self) -> str:
        return f"<SharedSlice of {len(self.view)} numbers {self.typecode!r}>"


def _slice(item, descriptor, size):
    return SharedSlice._rebuilt(item, descriptor.detach(), size)


class Program(process.BaseProcess):
    """A program of another language, as a process.

    `start`, `join`, `terminate`, `kill`, `exitcode` and `sentinel` are those of `Process`.

    A Rust program takes what it is given by `procession::given()`, and ends from then on when this process does.

    Args:
        command: the program, a path or a name that is looked for on the PATH; or a sequence of it and its arguments.
        given: a value in which queues, slices, locks, semaphores and events may be, one or several in a tuple.
        name: for people.
        daemon: whether the program is terminated when this process exits; None takes this process's value.

    Raises:
        TypeError, ValueError: `command` is no program with arguments. What has no neutral form is told by `start`.
    """

    def __init__(
        self,
        command: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]]",
        given: "Any" = None,
        *,
        name: "str | None" = None,
        daemon: "bool | None" = None,
    ) -> None:
        try:
            words = [command] if isinstance(command, (str, bytes, os.PathLike)) else list(command)
            self._command = [os.fsencode(word) for word in words]
        except TypeError:
            text = f"a command is a program, or a sequence of a program and its arguments, all texts, not {command!r}"
            raise TypeError(text) from None
        if not words:
            raise ValueError("a command begins with a program, and this one is empty")
        self._given = given
        super().__init__(name=name, daemon=daemon)

    @staticmethod
    def _Popen(process_obj):
        from procession._children.popen_program import Popen

        return Popen(process_obj)
