"""The connections of this process to servers of managers: one for each server and thread.

One a thread, so that a request that takes long keeps no other thread waiting. Before a thread takes something it says
whose its connection is: locks are owned by processes and threads of clients, not by connections.
"""

import os
import threading
import weakref

from procession import connection, util
from procession._manager import holders, wire

# A proxy that goes away tells the server, but does not wait for one that is stopped.
RELEASE_LIMIT_S = 5.0

_links = weakref.WeakValueDictionary()  # (address, serializer) -> Links
_lock = threading.RLock()  # as a finalizer may ask while it is held
# (address, serializer) -> the connection by which a server that cannot see this process knows that it lives.
_lifelines = {}


def links_to(address, serializer):
    """Return the one Links object of this process for a server; it lives as long as somebody uses it."""
    address = tuple(address) if isinstance(address, list) else address
    with _lock:
        links = _links.get((address, serializer))
        if links is None:
            links = _links[address, serializer] = Links(address, serializer)
        return links


def _after_fork_in_child():
    # The connections of the parent are not ours: two processes reading one stream get each other's answers.
    global _lock
    _lock = threading.RLock()
    _lifelines.clear()
    holders.forked()
    for links in list(_links.values()):
        links.forget()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Links:
    """All connections of this process to one server.

    Attributes:
        key: what proxies prove to know that came without a key and a manager; None for that of the process.
    """

    key: "bytes | None" = None

    def __init__(self, address, serializer):
        self._address = address
        self._key = address, serializer
        self._serializer = wire.serializer_named(serializer)
        self._local = threading.local()

    def forget(self):
        """Drop all connections; new ones are made when needed."""
        self._local = threading.local()
        _lifelines.pop(self._key, None)

    def request(self, authkey, ident, method, args=(), kwds={}):  # noqa: B006
        """Ask the server and return its answer `(kind, result)`; blocks until it is there.

        Raises EOFError or an OSError (ConnectionError mostly) when the server is gone.
        """
        local = self._local
        try:
            link = local.link
        except AttributeError:
            link = None
        if link is None:
            link = local.link = self._open(authkey)
        elif link.busy:
            # A signal handler or a destructor in the middle of another request of this thread.
            return self._once(authkey, ident, method, args, kwds)
        if method in wire.TAKING and link.many and not link.is_known:
            self._introduce(link, authkey)
        if link.owed or not link.many:
            while link.owed:
                self._exchange(link, authkey, None, "decref", (link.owed.pop(),), {}, RELEASE_LIMIT_S)
            return self._exchange(link, authkey, ident, method, args, kwds)
        try:
            return link.exchange(self._serializer, (ident, method, args, kwds))
        except BaseException:
            self._let_go_if_broken(link)
            raise

    def greet(self, authkey):
        """Raise unless the server is there and knows this key, whatever connections there are already."""
        kind, result = self._once(authkey, None, "dummy", (), {})
        if kind != wire.RETURN:
            wire.raise_answer(kind, result)

    def control(self, authkey, method, *args, **kwds):
        """Ask something of the server itself; return the result or raise."""
        kind, result = self.request(authkey, None, method, args, kwds)
        try:
            if kind == wire.RETURN:
                return result
            wire.raise_answer(kind, result)
        finally:
            del result

    def release(self, authkey, ident):
        """Tell the server that a proxy is gone. Raises nothing: it is called by garbage collection."""
        link = getattr(self._local, "link", None)
        if link is not None and link.busy:
            link.owed.append(ident)
            return
        try:
            if link is None:
                link = self._local.link = self._open(authkey)
            self._exchange(link, authkey, None, "decref", (ident,), {}, RELEASE_LIMIT_S)
        except Exception as error:
            util.debug("manager: could not give back %s: %r", ident, error)

    def _open(self, authkey):
        client = connection.Client(self._address, authkey=authkey)
        if isinstance(self._address, tuple):
            holders.watch(client)
        link = _Link(client)
        kind, result = link.exchange(
            self._serializer, (None, "accept_connection", (threading.current_thread().name,), {})
        )
        if kind != wire.RETURN:
            wire.raise_answer(kind, result)
        link.many = result == wire.MANY_REQUESTS
        return link

    def _introduce(self, link, authkey):
        """Say whose the connection is, so that what is taken by it goes to others when this process ends."""
        me = *holders.me(), holders.my_thread()
        kind, result = self._exchange(link, authkey, None, "belongs_to", me, {})
        link.is_known = True
        if kind == wire.RETURN and result == wire.UNSEEN and self._key not in _lifelines:
            lifeline = self._open(authkey)
            self._exchange(lifeline, authkey, None, "belongs_to", me, {})
            _lifelines[self._key] = lifeline

    def _once(self, authkey, ident, method, args, kwds):
        """Ask over a connection of its own."""
        link = self._open(authkey)
        try:
            if method in wire.TAKING and link.many:
                self._introduce(link, authkey)
            return self._exchange(link, authkey, ident, method, args, kwds)
        finally:
            link.connection.close()

    def _exchange(self, link, authkey, ident, method, args, kwds, limit=None):
        if ident is None and not link.many:
            # A server of the standard library takes requests for itself on fresh connections only.
            with connection.Client(self._address, authkey=authkey) as client:
                return _Link(client).exchange(self._serializer, (ident, method, args, kwds), limit)
        try:
            return link.exchange(self._serializer, (ident, method, args, kwds), limit)
        except BaseException:
            self._let_go_if_broken(link)
            raise

    def _let_go_if_broken(self, link):
        if link.broken and getattr(self._local, "link", None) is link:
            self._local.link = None


class _Link:
    """One connection, with what is known of the state it is in."""

    __slots__ = ("broken", "busy", "connection", "is_known", "many", "owed")

    def __init__(self, client):
        self.connection = client
        self.busy = self.broken = self.many = self.is_known = False
        self.owed = []

    def exchange(self, serializer, request, limit=None):
        """Send a request and return the answer; the link is broken if that is interrupted half-way."""
        payload = serializer.dumps(request)
        self.busy = self.broken = True
        try:
            self.connection.send_bytes(payload)
            if limit is not None and not self.connection.poll(limit):
                raise TimeoutError(f"no answer from the manager's server in {limit} seconds")
            answer = self.connection.recv_bytes()
            self.broken = False
        finally:
            self.busy = False
            if self.broken:
                self.connection.close()
        return serializer.loads(answer)
