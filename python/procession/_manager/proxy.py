"""BaseProxy, and what makes proxy classes for given method names."""

import sys
import warnings

from procession import process, util
from procession._manager import wire
from procession._manager.client import links_to

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from procession._manager.base import BaseManager
    from procession._manager.wire import Token

    _R = TypeVar("_R")


def _here(address):
    """Return the server that runs in this process, if it is the one at `address`."""
    server = getattr(process.current_process(), "_manager_server", None)
    return server if server is not None and server.address == address else None


class BaseProxy:
    """Stands for an object in the server of a manager; calls travel there.

    While a proxy lives its object lives. Proxies can be passed to other processes, which need the
    manager's key (children have it). A proxy made inside the server (`manager_owned`) counts there.
    """

    _exposed_: tuple[str, ...] = ()
    _authkey: bytes

    def __init__(
        self,
        token: "Token",
        serializer: str,
        manager: "BaseManager | None" = None,
        authkey: bytes | None = None,
        exposed: "Sequence[str] | None" = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        self._token = token
        self._id = token.id
        self._manager = manager
        self._serializer = serializer
        self._links = links_to(token.address, serializer)
        self._owned_by_manager = manager_owned
        if authkey is not None:
            self._authkey = process.AuthenticationString(authkey)
        elif manager is not None:
            self._authkey = manager._authkey
        else:
            self._authkey = self._links.key or process.current_process().authkey
        if incref:
            self._incref()
        else:
            self._count_at_end()
        util.register_after_fork(self, BaseProxy._after_fork)

    def _callmethod(self, methodname: str, args: "tuple[Any, ...]" = (), kwds: "Mapping[str, Any]" = {}) -> "Any":  # noqa: B006 - the documented signature
        """Call a method of the object and return a copy of its result, or a proxy of it.

        Raises what the method raised; RemoteError when it is not exposed or its result cannot be pickled;
        EOFError or an OSError when the server is gone. Blocks until the method is through.
        """
        kind, result = self._links.request(self._authkey, self._id, methodname, args, kwds)
        if kind == wire.RETURN:
            return result
        if kind == wire.PROXY:
            exposed, token = result
            token.address = self._token.address
            return self._proxy_of(token, exposed)
        if kind == wire.OWNER_DIED:
            result, robust = result
            self._tell_of_death(robust)
            return result
        try:
            wire.raise_answer(kind, result)
        finally:
            del result

    def _tell_of_death(self, robust):
        from procession.synchronize import OwnerDied

        text = "the process that held this lock ended without releasing it: what the lock guards may be half changed"
        if robust:
            raise OwnerDied(text)
        try:
            warnings.warn(text, OwnerDied, stacklevel=4)
        except OwnerDied:
            # A warning made an error leaves nobody with the lock.
            self._callmethod("release")
            raise

    def _getvalue(self) -> "Any":
        """Return a copy of the object."""
        return self._callmethod("#GETVALUE")

    def _proxy_of(self, token, exposed):
        proxytype = AutoProxy
        if self._manager is not None:
            proxytype = self._manager._registry[token.typeid][-1]
        else:
            # A proxy that was passed here does not know its manager; the common types are known anyway.
            from procession.managers import SyncManager

            if token.typeid in SyncManager._registry:
                proxytype = SyncManager._registry[token.typeid][-1]
        return adopt(proxytype, token, self._serializer, self._manager, self._authkey, exposed)

    def _incref(self):
        """Count this proxy in the server; RemoteError when the object is gone."""
        server = _here(self._token.address) if self._owned_by_manager else None
        if server is not None:
            server.referents.here(self._id, +1)
        else:
            self._owned_by_manager = False
            self._links.control(self._authkey, "incref", self._id)
        self._count_at_end()

    def _count_at_end(self):
        if self._owned_by_manager:
            own = (_here(self._token.address), self._id)
            self._close = util.Finalize(self, _release_here, args=own, exitpriority=10)
        else:
            state = self._manager._state if self._manager is not None else None
            kept = (self._links, self._authkey, self._id, state)
            self._close = util.Finalize(self, _release, args=kept, exitpriority=10)

    def _after_fork(self):
        self._manager = None
        self._owned_by_manager = False
        try:
            self._incref()
        except Exception as error:
            # The server is gone or the object is; whoever uses the proxy will hear about it.
            util.info("manager: an inherited proxy of %r is lost: %r", self._token, error)

    def __reduce__(self):
        details: dict[str, Any] = {}
        popen = process.get_spawning_popen()
        if popen is not None:
            details["authkey"] = self._authkey
            # The child counts its proxy when it unpickles it: until then ours must live.
            vars(popen).setdefault("_kept_proxies", []).append(self)
        server = _here(self._token.address)
        if server is not None and hasattr(server.lent, "proxies"):
            # The same for an answer: until the client's next request.
            server.lent.proxies.append(self)
        if getattr(self, "_isauto", False):
            details["exposed"] = self._exposed_
            return RebuildProxy, (AutoProxy, self._token, self._serializer, details)
        return RebuildProxy, (type(self), self._token, self._serializer, details)

    def __deepcopy__(self, memo: "Any") -> "Any":
        return self._getvalue()

    def __repr__(self):
        return f"<{type(self).__name__} object, typeid {self._token.typeid!r} at {id(self):#x}>"

    def __str__(self):
        """The repr of the object itself."""
        try:
            return self._callmethod("__repr__")
        except Exception:
            return repr(self)[:-1] + "; '__str__()' failed>"


def _release(links, authkey, ident, state):
    if state is None or state.value == wire.State.STARTED:
        links.release(authkey, ident)


def _release_here(server, ident):
    try:
        server.referents.here(ident, -1)
    except (KeyError, ValueError):
        pass  # given up with the rest of the server


def RebuildProxy(func: "Callable[..., _R]", token: "Token", serializer: str, kwds: "dict[str, Any]") -> "_R":
    """Unpickle a proxy; in its own server it counts there and needs no connection for that."""
    if _here(token.address) is not None:
        return func(token, serializer, manager_owned=True, **kwds)
    # A process that is still being set up counts its proxies at the end of that, as a forked one does;
    # until then the parent's proxy lives on.
    inheriting = getattr(process.current_process(), "_inheriting", False)
    return func(token, serializer, incref=kwds.pop("incref", True) and not inheriting, **kwds)


def adopt(proxytype, token, serializer, manager, authkey, exposed):
    """Make the proxy of an object that the server has counted for us already."""
    details = {"manager": manager, "authkey": authkey, "exposed": exposed}
    ours = proxytype is AutoProxy or getattr(proxytype, "__init__", None) is BaseProxy.__init__
    if ours:
        return proxytype(token, serializer, incref=False, **details)
    # A proxy type of the user: it counts itself, so what the server counted is given back.
    try:
        return proxytype(token, serializer, **details)
    finally:
        links_to(token.address, serializer).release(authkey, token.id)


def MakeProxyType(name: str, exposed: "Sequence[str]") -> "type[Any]":
    """Return a subclass of BaseProxy with a method for each name in `exposed`.

    It can be pickled when the module that calls this binds it to `name`.
    """
    body: dict[str, Any] = {method: _forwarder(method) for method in exposed}
    body["_exposed_"] = tuple(exposed)
    body["__class_getitem__"] = classmethod(type(list[int]))
    body["__module__"] = sys._getframe(1).f_globals.get("__name__", __name__)
    return type(name, (BaseProxy,), body)


def _forwarder(method):
    def forward(self, /, *args, **kwds):
        return self._callmethod(method, args, kwds)

    forward.__name__ = forward.__qualname__ = method
    forward.__doc__ = f"Call `{method}` of the object in the server, and return or raise what it does there."
    return forward


_auto_types: "dict[tuple[str, tuple[str, ...]], Any]" = {}


def AutoProxy(
    token: "Token",
    serializer: str,
    manager: "BaseManager | None" = None,
    authkey: bytes | None = None,
    exposed: "Sequence[str] | None" = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> "Any":
    """Return a proxy with the methods in `exposed` (None: those that the server names)."""
    if exposed is None:
        proof = authkey or (manager._authkey if manager is not None else process.current_process().authkey)
        exposed = tuple(links_to(token.address, serializer).control(proof, "get_methods", token))
    key = token.typeid, tuple(exposed)
    proxytype = _auto_types.get(key)
    if proxytype is None:
        proxytype = _auto_types[key] = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
        proxytype._isauto = True
    return proxytype(token, serializer, manager, authkey, incref=incref, manager_owned=manager_owned)
