"""What a proxy and a server say to each other.

A request is `(ident, method, args, kwds)`; without an ident it is for the server itself. The answer is
`(kind, result)`. Both have the shape that the standard library uses, so either side may be its.
"""

import pickle
import traceback

from procession import _procession as engine, reduction

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

RETURN = "#RETURN"
PROXY = "#PROXY"
ERROR = "#ERROR"
TRACEBACK = "#TRACEBACK"
UNSERIALIZABLE = "#UNSERIALIZABLE"
# As RETURN, of a result and whether the lock is robust: its owner before has died. For clients that have introduced
# themselves.
OWNER_DIED = "#OWNER_DIED"
# The answer of a server of ours to a greeting: it takes requests for itself on every connection.
MANY_REQUESTS = "many requests"
# Its answers to an introduction: it learns of the end of this process by itself; or only by its connections.
SEEN, UNSEEN = "seen", "unseen"
# What a client asks of a condition when an exception has ended its wait: the lock, as it was before.
RESUME = "#RESUME"
# The methods of whatever can be taken, which a client asks for after it has introduced itself.
TAKING = frozenset(("acquire", "release", "wait", "notify", "notify_all", "__enter__", "__exit__", RESUME))


class RemoteError(Exception):
    """Something went wrong in the server outside the called method; its text has the traceback from there."""

    def __str__(self):
        return f"in the server of the manager:\n{self.args[0]}" if self.args else ""


RemoteError.__module__ = "procession.managers"  # where programs find it


class State:
    """Where a manager is in its life."""

    __slots__ = ["value"]
    INITIAL, STARTED, SHUTDOWN = range(3)

    def __init__(self):
        self.value = State.INITIAL


class Token:
    """Names a shared object: its type id, the address of its server, its ident there."""

    __slots__ = ("address", "id", "typeid")

    def __init__(self, typeid: str, address: "Any", id: str) -> None:
        self.typeid, self.address, self.id = typeid, address, id

    def __getstate__(self):
        return self.typeid, self.address, self.id

    def __setstate__(self, state):
        self.typeid, self.address, self.id = state

    def __repr__(self):
        return f"Token(typeid={self.typeid!r}, address={self.address!r}, id={self.id!r})"


_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})


class PickleSerializer:
    """The default: anything that can be pickled."""

    loads = staticmethod(pickle.loads)

    @staticmethod
    def dumps(message):
        """Return the bytes of a message; the errors of pickling for what cannot be pickled."""
        return pickle.dumps(message) if _is_plain(message) else engine.dumps(message)


def _is_plain(message):
    """Return whether a message holds plain values only, as most do: they need no reducers of ours."""
    if len(message) == 2:
        return type(message[1]) in _PLAIN
    return not message[3] and all(type(argument) in _PLAIN for argument in message[2])


class ValueSerializer:
    """The same, for clients with other main modules, or none: what stands in that of this process goes by value."""

    loads = staticmethod(pickle.loads)
    _nobody = engine.Receiver(lambda obj: False)

    @classmethod
    def dumps(cls, message):
        """Return the bytes of a message; the errors of pickling for what cannot be pickled."""
        # What the engine pickles by itself is for anybody.
        dumps = pickle.dumps if _is_plain(message) else reduction.ForkingPickler.dumps
        return engine.pickling_for(cls._nobody, lambda: dumps(message))


class XmlSerializer:
    """Plain values only, and nothing in a message can run code. Tuples arrive as lists."""

    @staticmethod
    def dumps(message):
        """Return the bytes of a message; TypeError for what XML-RPC does not know."""
        if message[0] == ERROR:  # an exception would arrive as an empty struct
            message = (TRACEBACK, "".join(traceback.format_exception(message[1])))
        import xmlrpc.client  # not before: it loads more than all else here

        return xmlrpc.client.dumps((message,), allow_none=True).encode()

    @staticmethod
    def loads(payload):
        """Return the message that `dumps` got."""
        import xmlrpc.client

        ((message,), _method) = xmlrpc.client.loads(bytes(payload).decode(), use_builtin_types=True)
        return message


SERIALIZERS = {"pickle": PickleSerializer, "xmlrpclib": XmlSerializer}
# Serializers that programs do not name.
OF_OURS = {"by value": ValueSerializer}


def serializer_named(name):
    """Return a serializer; `UnknownSerializer`, a ValueError, for an unknown name."""
    try:
        return OF_OURS.get(name) or SERIALIZERS[name]
    except (KeyError, TypeError):
        from procession._exceptions import UnknownSerializer

        raise UnknownSerializer(f"no serializer {name!r}, only {', '.join(SERIALIZERS)}") from None


def raise_answer(kind, result):
    """Raise what an answer other than RETURN and PROXY stands for.

    Callers let go of `result` too: a frame in the traceback that holds the exception makes a cycle.
    """
    error = to_error(kind, result)
    try:
        raise error
    finally:
        del error, result


def to_error(kind, result):
    """Return the exception that an answer stands for."""
    if kind == ERROR and isinstance(result, BaseException):
        return result
    if kind in (TRACEBACK, UNSERIALIZABLE, ERROR):
        return RemoteError(result)
    return ValueError(f"the server sent an answer of an unknown kind: {kind!r}")


def dispatch(connection, ident, method, args=(), kwds={}):  # noqa: B006 - the known signature
    """Send a request over a connection, return the result or raise; blocks until the answer is there."""
    connection.send((ident, method, args, kwds))
    kind, result = connection.recv()
    try:
        if kind == RETURN:
            return result
        raise_answer(kind, result)
    finally:
        del result  # the traceback of an exception refers to this frame
