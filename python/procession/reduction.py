"""Pickling for other processes: descriptors, sockets, bound methods, and by value what children cannot import."""

import _pickle as pickle  # without what `pickle` loads
import copyreg
import io
import os
import sys

from procession import _procession as engine
from procession import context, main_names, sharing, spawn, standard

__all__ = ["DupFd", "ForkingPickler", "HAVE_SEND_HANDLE", "dump", "recv_handle", "register", "send_handle"]

HAVE_SEND_HANDLE = True
_ANSWER = b"A"  # some byte must travel with descriptors

# What plain pickling raises for functions, classes and objects that only cloudpickle knows.
NOT_BY_NAME = (pickle.PicklingError, AttributeError, TypeError)


class ForkingPickler(pickle.Pickler):
    """A pickler for messages between processes, which other modules teach their types by `register`."""

    _extra_reducers = {}

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        arrays = {} if options.get("buffer_callback") is None else _array_reducers()
        self.dispatch_table = copyreg.dispatch_table | arrays | extra_reducers()

    @classmethod
    def register(cls, type, reduce):
        """Have `reduce` pickle the objects of a type."""
        cls._extra_reducers[type] = reduce

    @classmethod
    def dumps(cls, obj, protocol=None):
        """Return the pickle of `obj`, by value where plain pickling fails or children could not import.

        Raises:
            PicklingError, TypeError, AttributeError: it cannot be pickled at all.
        """
        if not main_is_importable():
            return _dumps_with(_MainByValue, obj, protocol)
        buffer = io.BytesIO()
        try:
            sharing.dump(cls, obj, buffer, protocol)
        except NOT_BY_NAME as error:
            return dumps_by_value(obj, protocol, error)
        return buffer.getbuffer()

    loads = staticmethod(pickle.loads)


def extra_reducers():
    """Return the reducers that were registered here, with the standard `ForkingPickler`, and for sockets."""
    table = dict(standard.reducers())
    socket = sys.modules.get("socket")
    if socket is not None:
        table[socket.socket] = _reduce_socket
    table.update(ForkingPickler._extra_reducers)
    return table


register = ForkingPickler.register
register(memoryview, sharing.reduce_memoryview)


def dump(obj, file, protocol=None):
    """Write the pickle of `obj` to a file, as `ForkingPickler.dumps` makes it."""
    file.write(ForkingPickler.dumps(obj, protocol))


def make_pickler(sink):
    """Return a pickler that writes to `sink` and offers it large buffers by `sink.keep`.

    It serves again and again: call `clear_memo` after each `dump`.

    It is the C pickler itself where that will do: its `dump` runs no Python code for plain objects.
    """
    if not main_is_importable():
        return _by_value_pickler()(sink, sharing.PROTOCOL, buffer_callback=sink.keep)
    pickler = pickle.Pickler(sink, sharing.PROTOCOL, buffer_callback=sink.keep)
    pickler.dispatch_table = engine.Reducers(ForkingPickler._extra_reducers, copyreg.dispatch_table, _other_reducers)
    return pickler


def _array_reducers():
    array_class = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array_class is None or array_class in copyreg.dispatch_table:
        return {}
    return {array_class: _reduce_array}


def _reduce_array(array):
    reduced = sharing.reduce_array(array)
    if reduced is not None:
        return reduced
    function, arguments, *state = array.__reduce_ex__(sharing.PROTOCOL)
    buffer = arguments[0]
    # Who gets a copy of a read-only array may write to it, as with the standard library: pandas hands out such arrays.
    # What lies in memory that is shared on purpose is no copy.
    if (
        not array.flags.writeable
        and isinstance(buffer, pickle.PickleBuffer)
        and not (engine.has_shared() and engine.place_of(buffer) is not None)
    ):
        return function, (pickle.PickleBuffer(_Bytes.of(array)), *arguments[1:])
    return (function, arguments, *state)


class _Bytes:
    """The bytes of a contiguous array, for numpy: as if they could be written to, which nobody does."""

    def __init__(self, array):
        self.base = array  # what several tasks have in common is told by its owner
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {"data": (address, False), "shape": (array.nbytes,), "typestr": "|u1", "version": 3}

    @classmethod
    def of(cls, array):
        return sys.modules["numpy"].asarray(cls(array))


def _other_reducers(cls):
    """Return where a reducer of `cls` may be found beside ours and the interpreter's; it may be registered any time."""
    if cls.__name__ == "socket":
        return extra_reducers()
    if sharing.is_array_class(cls):
        return {cls: _reduce_array}
    return standard.reducers()


# -- by value -------------------------------------------------------------------------------------------------------


def main_is_importable():
    """Return whether children can import this process's `__main__`; not so in a REPL, a notebook, `-c`, stdin."""
    return spawn.main_source() is not None


class _NeedsValue(Exception):
    """A function or class of `__main__` came up that children would look for in vain: start again, by value."""


class _MainByValue(ForkingPickler):
    """For a `__main__` that children cannot import."""

    def reducer_override(self, obj):
        if main_names.is_of_main(obj):
            raise _NeedsValue
        return NotImplemented


class _GuardedByValue(ForkingPickler):
    """For a `__main__` of which children import a part."""

    def reducer_override(self, obj):
        if main_names.is_of_main(obj) and not main_names.ImportedMain.knows(obj):
            raise _NeedsValue
        return NotImplemented


def dumps_for_import(obj):
    """Return the pickle of `obj` for a child that imports `__main__`; what it does not find there goes by value."""
    if main_is_importable() and main_names.guarded():
        return _dumps_with(_GuardedByValue, obj, None)
    return ForkingPickler.dumps(obj)


def _dumps_with(pickler, obj, protocol):
    buffer = io.BytesIO()
    try:
        sharing.dump(pickler, obj, buffer, protocol)
    except (_NeedsValue, *NOT_BY_NAME) as error:
        return dumps_by_value(obj, protocol, error)
    return buffer.getbuffer()


def dumps_by_value(obj, protocol, first_error, main=main_names.ImportedMain):
    """Return the pickle of `obj` by value, after plain pickling raised `first_error`.

    Args:
        main: what of `__main__` goes by name all the same, where children can import it.

    Raises:
        PicklingError, TypeError, AttributeError: it cannot be pickled so either.
    """
    try:
        pickler_class = _by_value_pickler()
    except ImportError:
        raise first_error from None
    buffer = io.BytesIO()

    def pickler(*args, **options):
        made = pickler_class(*args, **options)
        made.main = main if not main.imported or main_is_importable() else None
        return made

    sharing.dump(pickler, obj, buffer, protocol)
    return buffer.getbuffer()


_by_value = None  # the class of the pickler below, once it is made


class _Registered:
    """The reducers that somebody registered, as they are now; the engine hears of each use."""

    def __getitem__(self, cls):
        reducer = ForkingPickler._extra_reducers.get(cls) or standard.reducers().get(cls)
        if reducer is None:
            raise KeyError(cls)
        engine.reducing_specially()
        return reducer


def _by_value_pickler():
    global _by_value
    if _by_value is None:
        _by_value = _make_by_value_pickler()
    return _by_value


def _make_by_value_pickler():
    from collections import ChainMap

    import cloudpickle

    from procession import main_by_value

    class ByValuePickler(cloudpickle.Pickler):
        """cloudpickle's, with our reducers, and by name what children find in `__main__`."""

        main = None  # which `__main__` that is; None when children cannot import it

        def __init__(self, file, protocol=None, buffer_callback=None):
            arrays = {} if buffer_callback is None else _array_reducers()
            sockets = {cls: reduce for cls, reduce in extra_reducers().items() if reduce is _reduce_socket}
            # It is used again when others have been registered. The C half takes it over when it is initialized.
            self.dispatch_table = ChainMap(_Registered(), sockets, *cloudpickle.Pickler.dispatch_table.maps, arrays)
            super().__init__(file, protocol, buffer_callback)

        def reducer_override(self, obj):
            if not main_names.is_of_main(obj):
                return super().reducer_override(obj)
            if self.main is None:
                return main_by_value.reduced(obj, super().reducer_override(obj))
            return NotImplemented if self.main.knows(obj) else super().reducer_override(obj)

    return ByValuePickler


# -- descriptors ----------------------------------------------------------------------------------------------------


class InheritedFd:
    """A descriptor that the child being started finds at a known number."""

    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        """Return the descriptor, now the caller's."""
        return self.fd


def DupFd(fd):
    """Return a picklable stand-in for a copy of `fd`; `detach()` gives the descriptor where it is unpickled."""
    popen = context.get_spawning_popen()
    if popen is not None:
        return InheritedFd(popen.duplicate_for_child(fd))
    from procession import resource_sharer

    return resource_sharer.DupFd(fd)


def sendfds(sock, fds):
    """Send descriptors over a unix socket."""
    import array
    import socket

    numbers = array.array("i", fds)
    sock.sendmsg([bytes([len(numbers) % 256])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
    if sock.recv(1) != _ANSWER:
        raise RuntimeError("did not receive acknowledgement of fd")


def recvfds(sock, size):
    """Receive `size` descriptors from a unix socket."""
    import socket

    from procession import rights

    message, fds, flags = rights.receive_all(sock, 1, socket.CMSG_LEN(size * rights.NUMBER))
    if not message and not fds:
        raise EOFError
    try:
        sock.send(_ANSWER)
        if len(fds) != size or message[0] != size % 256 or flags & socket.MSG_CTRUNC:
            raise RuntimeError(f"received {len(fds)} descriptors instead of {size}")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return list(fds)


def send_handle(conn, handle, destination_pid, timeout=None):
    """Send a descriptor over a connection, and wait until it is taken.

    Args:
        conn: the connection, over a unix socket.
        handle: the descriptor.
        destination_pid: not used here.
        timeout: seconds; None is no limit. Afterwards the connection is good for nothing else.

    Raises:
        TimeoutError: nobody took it in time.
    """
    import socket

    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        sock.settimeout(timeout)
        sendfds(sock, [handle])


def recv_handle(conn):
    """Receive a descriptor from a connection."""
    import socket

    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        sock.setblocking(True)
        return recvfds(sock, 1)[0]


# -- sockets --------------------------------------------------------------------------------------------------------


def _reduce_socket(sock):
    return _rebuild_socket, (DupFd(sock.fileno()), sock.family, sock.type, sock.proto)


def _rebuild_socket(df, family, type, proto):
    import socket

    return socket.socket(family, type, proto, fileno=df.detach())


class AbstractReducer:
    """A base for replacements of this module, given to `context.reducer`."""

    ForkingPickler = ForkingPickler
    register = register
    dump = dump
    send_handle = send_handle
    recv_handle = recv_handle
    DupFd = DupFd
