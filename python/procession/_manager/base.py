"""BaseManager: starts the server of shared objects, or connects to one, and makes proxies."""

import contextlib
import os
import signal
import threading
import traceback

from procession import _exceptions, process, util
from procession._children import child
from procession._manager.client import links_to
from procession._manager.proxy import AutoProxy, adopt
from procession._manager.server import Server
from procession._manager.wire import State, Token, serializer_named

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

    from procession.context import BaseContext

    _Address = str | bytes | tuple[str, int]

# How long `start` waits between looks whether the server has died before it could say anything.
LOOK_EVERY_S = 1.0


class BaseManager:
    """A manager of the types that were given to `register`.

    Use `start` and `shutdown`, or `with`; or `connect` to a server that runs already; or
    `get_server().serve_forever()`.

    Args:
        address: where its server listens: a path, or a host and a port; None for a new path.
        authkey: bytes that clients must know; None for the key of the current process.
        serializer: "pickle" or "xmlrpclib".
        ctx: the context that the server's process is started by; None for that of the default start method.
        shutdown_timeout: how many seconds `shutdown` gives the server to end by itself.

    Raises:
        KeyError: there is no such serializer; it is a ValueError, too.
    """

    _registry: dict = {}
    _Server = Server
    _ctx: "Any"
    _process: "Any"
    _links: "Any"
    shutdown: "Callable[[], None]"  # ends the server; there once it is started

    def __init__(
        self,
        address: "_Address | None" = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: "BaseContext | None" = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        serializer_named(serializer)
        self._address = address
        self._authkey = process.AuthenticationString(process.current_process().authkey if authkey is None else authkey)
        self._state = State()
        self._serializer = serializer
        self._ctx = ctx or _default_context()
        self._shutdown_timeout = shutdown_timeout
        self._process = None
        self._links = None

    @property
    def address(self) -> "Any":
        """Where the server listens; None before the start of a local one."""
        return self._address

    def get_server(self) -> "Server":
        """Return a server that this process can run by `serve_forever`; ProcessError when started."""
        self._check_not_started()
        return self._Server(self._registry, self._address, self._authkey, self._serializer)

    def connect(self) -> None:
        """Use a server that runs at `address` already.

        Raises:
            OSError: nobody listens there.
            AuthenticationError: it has another key.
        """
        self._links = links_to(self._address, self._serializer)
        self._links.greet(self._authkey)
        self._state.value = State.STARTED

    def start(self, initializer: "Callable[..., object] | None" = None, initargs: "Iterable[Any]" = ()) -> None:
        """Start a child process with the server; blocks until it listens.

        `initializer(*initargs)` is called there first. Raises what kept it from listening (OSError for an
        address in use), ProcessError when it was started before.
        """
        self._check_not_started()
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {initializer!r}")
        ours, theirs = self._ctx.Pipe()
        self._process = self._ctx.Process(
            target=type(self)._run_server,
            args=(
                self._registry,
                self._address,
                bytes(self._authkey),
                self._serializer,
                theirs,
                initializer,
                initargs,
            ),
        )
        numbers = ":".join(str(number) for number in self._process._identity)
        self._process.name = f"{type(self).__name__}-{numbers}"
        self._process.start()
        theirs.close()
        chosen, self._address = self._address is None, self._first_word(ours)
        self._links = links_to(self._address, self._serializer)
        self._state.value = State.STARTED
        self.shutdown = util.Finalize(
            self,
            _shut_down,
            args=(
                self._process,
                ours,
                self._links,
                self._state,
                self._shutdown_timeout,
                self._address if chosen and isinstance(self._address, str) else None,
            ),
            exitpriority=0,
        )

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process of the server has ended, at most `timeout` seconds (None: no limit)."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    def _check_not_started(self):
        if self._state.value == State.STARTED:
            raise _exceptions.ProcessError("the manager runs already")
        if self._state.value == State.SHUTDOWN:
            raise _exceptions.ProcessError("the manager was shut down: make a new one")

    def _first_word(self, ours):
        """Return the address that the server says it listens at, or raise what it says instead."""
        while not ours.poll(LOOK_EVERY_S):
            if not self._process.is_alive() and not ours.poll(0):
                break
        try:
            error, address = ours.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise EOFError(f"the server of the manager ended at its start (exit code {code})") from None
        if error is not None:
            self._process.join()
            raise error
        return address

    @classmethod
    def _run_server(cls, registry, address, authkey, serializer, parent, initializer=None, initargs=()):
        """Be the server, in its process."""
        # Ctrl-C in the terminal is for the parent, which may still want its objects.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child.leave_termination()
        try:
            if initializer is not None:
                initializer(*initargs)
            server = cls._Server(registry, address, authkey, serializer)
            watch = threading.Thread(target=_stop_with_parent, args=(parent, server), daemon=True)
            _begin(watch)
        except BaseException as error:
            error.add_note("".join(["in the process of the manager:\n", *traceback.format_exception(error)]))
            parent.send((error, None))
            parent.close()
            return
        parent.send((None, server.address))
        server.serve_forever()

    def _create(self, typeid, /, *args, **kwds):
        """Make an object in the server, return its token and its methods' names."""
        if self._state.value != State.STARTED:
            from procession._exceptions import NoServer

            raise NoServer("the server of the manager is not running: call start() or connect() first")
        ident, exposed = self._links.control(self._authkey, "create", typeid, *args, **kwds)
        return Token(typeid, self._address, ident), exposed

    def _debug_info(self):
        """Return a text about the objects in the server."""
        return self._links.control(self._authkey, "debug_info")

    def _number_of_objects(self):
        """Return how many objects clients hold."""
        return self._links.control(self._authkey, "number_of_objects")

    def __enter__(self) -> "Self":
        if self._state.value == State.SHUTDOWN:
            self._check_not_started()
        if self._state.value == State.INITIAL:
            self.start()
        return self

    def __exit__(self, *_exception: "type[BaseException] | BaseException | TracebackType | None") -> None:
        shutdown = vars(self).get("shutdown")  # a manager that only connected has none
        if shutdown is not None:
            shutdown()

    def __reduce__(self):
        # The copy is a client of the same server. Only a child of ours gets the key in this way.
        authkey = bytes(self._authkey) if process.get_spawning_popen() is not None else None
        return _connected, (type(self), self._address, authkey, self._serializer)

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: "Callable[..., object] | None" = None,
        proxytype: "Any" = None,
        exposed: "Sequence[str] | None" = None,
        method_to_typeid: "Mapping[str, str] | None" = None,
        create_method: bool = True,
    ) -> None:
        """Make a type known: the server calls `callable`, clients get a `proxytype` (None: an AutoProxy).

        `exposed` names the methods that proxies may call (None: the proxy type's `_exposed_`, or else the
        public methods), `method_to_typeid` the registered types of results that stay in the server,
        `create_method` tells whether the manager gets a method named `typeid`.
        """
        if not isinstance(typeid, str):
            raise TypeError(f"typeid must be a string, not {typeid!r}")
        exposed = exposed or getattr(proxytype, "_exposed_", None)
        method_to_typeid = method_to_typeid or getattr(proxytype, "_method_to_typeid_", None)
        for method, its_typeid in (method_to_typeid or {}).items():
            if not isinstance(method, str) or not isinstance(its_typeid, str):
                raise TypeError(f"method_to_typeid maps names to names, not {method!r} to {its_typeid!r}")
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        cls._registry[typeid] = callable, exposed, method_to_typeid, proxytype or AutoProxy
        if create_method:

            def create(self, /, *args, **kwds):
                token, methods = self._create(typeid, *args, **kwds)
                _make, _exposed, _typeids, proxytype = self._registry[typeid]
                return adopt(proxytype, token, self._serializer, self, self._authkey, methods)

            create.__name__ = typeid
            create.__qualname__ = f"{cls.__qualname__}.{typeid}"
            create.__doc__ = f"Have the server make an object of type {typeid} of the arguments; return its proxy."
            setattr(cls, typeid, create)


def _default_context():
    return process.default_context().get_context()


def _connected(cls, address, authkey, serializer):
    manager = cls(address, authkey, serializer)
    if address is not None:
        manager._links = links_to(address, serializer)
        manager._state.value = State.STARTED
    return manager


def _begin(thread):
    try:
        thread.start()
    except RuntimeError as error:
        from procession import _no_threads

        _no_threads.start_all_the_same(thread, error, is_ours=True)


def _stop_with_parent(parent, server):
    """Stop the server when the parent says so, or is gone."""
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        pass
    server.stop_event.set()


def _shut_down(server_process, ours, links, state, timeout, socket_file):
    """End the server's process, the hard way if need be. Nothing here waits for longer than `timeout`s.

    `socket_file` is in a folder of the server's own, unless that inherited this one's: a server that was killed has
    left both.
    """
    state.value = State.SHUTDOWN
    links.forget()
    try:
        ours.send_bytes(b"stop")
        ours.close()
    except OSError:
        pass  # it has ended already
    for insist in (None, server_process.terminate, server_process.kill):
        if insist is not None:
            util.info("manager: its process does not end, calling %s", insist.__name__)
            insist()
        server_process.join(timeout)
        if not server_process.is_alive():
            break
    if socket_file is not None and server_process.exitcode is not None:
        with contextlib.suppress(OSError):
            os.unlink(socket_file)
        folder = os.path.dirname(socket_file)
        if folder != process.current_process()._config.get("tempdir"):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
