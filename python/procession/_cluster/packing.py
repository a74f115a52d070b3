"""What travels between the program and the nodes: bytes, which are opened where a task runs and where it is waited for.

Nothing in between loads an object of the user: one that ends whoever loads it costs a worker, not a node.
"""

import _pickle as pickle  # without what `pickle` loads
import io
from _thread import _local as local

from procession import _procession as engine
from procession._objects import buffers, culprit, failures, reducers

__all__ = ["Message", "Raised", "Sealed", "apart", "is_plain", "outcome_of", "seal", "seal_item", "size_of"]

# Buffers from so many bytes on stay apart from the pickle.
APART_BYTES = 1 << 16
# What goes as it is: all of one chunk in one pickle, which nodes may load.
_PLAIN = frozenset((bool, bytes, float, int, str, type(None)))
# What an item costs, about, beside its bytes.
_ITEM_BYTES = 32
# Nodes have another main module, or none: what stands in that of the program goes by value.
_FAR = engine.Receiver(lambda obj: False)


class Sealed:
    """The pickle of an object of the user.

    Args:
        data: the pickle, without its large buffers.
        parts: these, in order.
        fixed: of each, whether nobody may write to it.
    """

    __slots__ = ("data", "fixed", "parts")

    def __init__(self, data, parts=(), fixed=()):
        self.data = data
        self.parts = parts
        self.fixed = fixed

    def __reduce__(self):
        if not self.parts:
            return Sealed, (self.data,)
        if _message.parts is not None:
            start = len(_message.parts)
            _message.parts.extend(self.parts)
            return _of_message, (self.data, start, start + len(self.parts), self.fixed)
        return Sealed, (self.data, [pickle.PickleBuffer(part) for part in self.parts], self.fixed)

    def nbytes(self):
        """Return how many bytes travel."""
        return len(self.data) + sum(memoryview(part).nbytes for part in self.parts)

    def open(self):
        """Return the object; what could be written to where it comes from can be here."""
        if not self.parts:
            return pickle.loads(self.data)
        return pickle.loads(self.data, buffers=list(map(_as_it_was, self.parts, self.fixed)))


class _Parts(local):
    """The buffers of the message that this thread writes or reads."""

    parts: "list | None" = None


_message = _Parts()


def _of_message(data, start, end, fixed):
    parts = _message.parts
    assert parts is not None, "a part of a message was read outside of it"
    return Sealed(data, parts[start:end], fixed)


def _as_it_was(part, fixed):
    view = memoryview(part)
    if fixed:
        return view.toreadonly()
    if not view.readonly:
        return view
    return engine.own_memory(view.cast("B")) or bytearray(view)


class Raised:
    """Stands in a list of outcomes for a task that failed.

    Args:
        failure: the bytes of `failures.failure`.
        place: of the task among those that it came with, if that is to be told.
    """

    __slots__ = ("failure", "place")

    def __init__(self, failure, place=None):
        self.failure = failure
        self.place = place

    def __reduce__(self):
        return Raised, (self.failure, self.place)

    @classmethod
    def by(cls, error):
        """Return what stands for an exception."""
        return cls(engine.pickling_for(_FAR, lambda: failures.failure(error)))

    def error(self):
        """Return the exception."""
        return failures.rebuild(self.failure)


class _Sink(io.BytesIO):
    """Takes a pickle, without its large buffers: these are in `parts`."""

    def __init__(self):
        super().__init__()
        self.parts = []

    def keep(self, buffer):
        """Return whether a buffer is to stand in the pickle itself."""
        view = memoryview(buffer)
        if view.nbytes < APART_BYTES:
            return True
        # Interpreters before 3.12 crash when they collect a memoryview whose buffer somebody has.
        is_lent = type(view.obj) is memoryview
        self.parts.append(pickle.PickleBuffer(bytes(view) if view.readonly else bytearray(view)) if is_lent else buffer)
        return False


def seal(obj):
    """Return the pickle of an object, for whoever knows nothing of this program's main module.

    Raises:
        PicklingError, TypeError, AttributeError: it cannot be pickled; the text says where the culprit is.
    """
    sink = _Sink()
    pickler = reducers.make_pickler(sink)
    failed = True
    try:
        engine.pickling_for(_FAR, lambda: pickler.dump(obj))
        failed = False
    except buffers.NOT_BY_NAME as error:
        engine.pickled(True)
        raise culprit.with_path(error, obj) from error.__cause__
    finally:
        engine.pickled(failed)
    return Sealed(sink.getvalue(), sink.parts, [memoryview(part).readonly for part in sink.parts])


def is_plain(obj):
    """Return whether an object is one of those that go as they are."""
    kind = type(obj)
    return kind in _PLAIN or kind is tuple and _PLAIN.issuperset(map(type, obj))


def seal_item(obj):
    """Return what travels for an object: itself, or its pickle."""
    return obj if is_plain(obj) else seal(obj)


def size_of(item):
    """Return about how many bytes an item takes on the way."""
    kind = type(item)
    if kind is Sealed:
        return item.nbytes() + _ITEM_BYTES
    return (len(item) if kind in (bytes, str) else 0) + _ITEM_BYTES


def outcome_of(came, failure):
    """Return an outcome that came as whoever waits gets it; `failure` is made of an exception."""
    kind = type(came)
    if kind is Sealed:
        try:
            return came.open()
        except BaseException as error:
            problem = f"it cannot be rebuilt here: {type(error).__name__}: {error}"
            return failure(failures.MaybeEncodingError(problem, "the result of this task"))
    return failure(came.error()) if kind is Raised else came


class Message:
    """A list of what is to be told, on its way through an engine: its pickle, and buffers that stay apart.

    Args:
        data: the pickle.
        parts: the buffers.
    """

    __slots__ = ("data", "parts")

    def __init__(self, data, parts=()):
        self.data = data
        self.parts = parts

    @classmethod
    def of(cls, told):
        """Return the message that tells something."""
        _message.parts = parts = []
        try:
            return cls(pickle.dumps(told, buffers.PROTOCOL), parts)
        finally:
            _message.parts = None

    def read(self):
        """Return what is told."""
        _message.parts = list(self.parts)
        try:
            return pickle.loads(self.data)
        finally:
            _message.parts = None


def apart(sealed):
    """Return a pickle whose buffers lie in the shared memory of this node, to be sent to its workers as a place."""
    if not sealed.parts:
        return sealed
    from procession._objects import sharing

    return Sealed(sealed.data, [sharing.share(memoryview(part)) for part in sealed.parts], sealed.fixed)
