"""The server of a manager: keeps the objects and carries out what proxies ask.

Each connection has a thread of its own, so a method that blocks (a queue's `get`) blocks its client alone,
and the objects see one thread for one thread of a client. Nobody has a thread, and nothing is unpickled, before
the listener has seen that the client knows the key.
"""

import errno
import os
import queue
import sys
import threading
import traceback

from procession import connection, process, util
from procession._manager import holders, locks, meeting, wire
from procession._manager.referents import Referents, public_methods
from procession._shared import key

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

EXPIRE_EVERY_S = 1.0
# After an accept that failed for want of something: give the others time to end, so often; then who waits is told.
ACCEPT_PAUSE_S = 0.05
MOST_PAUSES = 20
# Methods that may wait, and take something then.
WAITING = frozenset(("acquire", "wait", "get", "get_nowait"))
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
WANT = frozenset((errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
BACKLOG = 128


class Server:
    """Serves the types of `registry` at `address` (None: a new local one) to those who know `authkey`."""

    address: "Any"

    public: tuple[str, ...] = (
        "accept_connection",
        "belongs_to",
        "create",
        "debug_info",
        "decref",
        "dummy",
        "get_methods",
        "incref",
        "number_of_objects",
        "shutdown",
    )

    def __init__(self, registry, address, authkey, serializer):
        if not isinstance(authkey, bytes):
            raise TypeError(f"authkey must be bytes, not {type(authkey).__name__}")
        self.registry = registry
        self.authkey = process.AuthenticationString(authkey)
        self.serializer = wire.serializer_named(serializer)
        self.listener = connection.Listener(address=address, backlog=BACKLOG, authkey=self.authkey)
        self.address = self.listener.address
        self._is_remote = isinstance(self.address, tuple)
        self.referents = Referents()
        self.clients = holders.Clients()
        self.stop_event = threading.Event()
        self.lent = threading.local()
        self._spare = _nothing()  # a descriptor to be given up for a client that is to be told that there is none

    def serve_forever(self) -> None:
        """Serve until a client (or Ctrl-C) says to stop, then end the process with status 0."""
        vars(process.current_process())["_manager_server"] = self
        threading.Thread(target=self._accept, name="manager-accept", daemon=True).start()
        try:
            while not self.stop_event.wait(EXPIRE_EVERY_S):
                self.referents.expire()
                self.clients.look()
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self.stop_event.set()
            self.listener.close()
            if self._spare is not None:
                self._spare.close()
        sys.exit(0)

    # The requests that are for the server itself, by the names in `public`.

    def accept_connection(self, name=None):
        """A new connection says whose it is."""
        threading.current_thread().name = f"manager-serve-{name}"
        return wire.MANY_REQUESTS

    def belongs_to(self, token, place, identity, thread):
        """A connection says which process and which of its threads it belongs to; return how its end is noticed."""
        client = self.lent.client = self.clients.introduce(self.lent.client, token, place, identity)
        holders.attend(client, thread)
        return wire.UNSEEN if client.identity is None else wire.SEEN

    def create(self, typeid, /, *args, **kwds):
        """Make an object of a registered type; return its ident and the names of its methods."""
        make, exposed, typeids, _proxytype = self.registry[typeid]
        if make is not None:
            obj = make(*args, **kwds)
        elif kwds or len(args) != 1:
            raise ValueError(f"type {typeid!r} is registered without a callable: give it the object alone")
        else:
            obj = args[0]
        return self._share(obj, exposed, typeids)

    def get_methods(self, token):
        """Return the names of the methods that the proxy of `token` may call."""
        return tuple(self.referents.get(token.id).exposed)

    def incref(self, ident):
        """A client has one more proxy."""
        self.referents.remote(ident, +1)

    def decref(self, ident):
        """A client has one proxy less."""
        self.referents.remote(ident, -1)

    def number_of_objects(self):
        """Return how many objects clients hold."""
        return len(self.referents)

    def debug_info(self):
        """Return a text about these objects."""
        return self.referents.describe()

    def dummy(self):
        """Do nothing: shows that the server is there."""

    def shutdown(self):
        """Stop; the answer goes out first."""
        self.lent.stop = True

    def _share(self, obj, exposed, typeids):
        if exposed is None:
            exposed = public_methods(obj)
        return self.referents.add(obj, [*exposed, *(typeids or ())], typeids), tuple(exposed)

    def _accept(self):
        pauses = 0
        while not self.stop_event.is_set():
            try:
                client = self.listener.accept()
            except Exception as error:
                util.info("manager: refused a client: %s", error)
                number = getattr(error, "errno", None)
                if number in NO_DESCRIPTOR and pauses >= MOST_PAUSES:
                    self._turn_away()
                elif number in WANT:
                    pauses += 1
                    self.stop_event.wait(ACCEPT_PAUSE_S)
                continue
            pauses = 0
            try:
                threading.Thread(target=self._attend, args=(client,), daemon=True).start()
            except RuntimeError:  # no more threads: this client gets EOFError, the others are served
                client.close()

    def _turn_away(self):
        """Tell a client that waits that there is no descriptor left for it."""
        if self._spare is not None:
            self._spare.close()
        try:
            if not connection.wait([self.listener._listener], 0):  # it is gone, and the next may be long in coming
                return
            client, _ = self.listener._listener.accept_socket()
            with connection.Connection(client.detach()) as told:
                told.send_bytes(key.NO_DESCRIPTOR)
        except Exception:  # somebody else has got it, or the client is gone
            self.stop_event.wait(ACCEPT_PAUSE_S)
        finally:
            try:
                self._spare = None if self.stop_event.is_set() else _nothing()
            except OSError:
                self._spare = None

    def _attend(self, client):
        """The life of one connection."""
        try:
            with client:
                try:
                    self._serve(client)
                finally:
                    self.clients.hang_up(self.lent.client, client)
        except (EOFError, OSError):
            pass  # the client is gone
        except BaseException:
            util.info("manager: a connection failed:\n%s", traceback.format_exc())
        finally:
            self._leave()

    def _leave(self):
        """The thread of a connection ends."""
        client = self.lent.client
        self.clients.leave(client, self.stop_event)
        # Some locks are their thread's, whose number the next thread may get: so it lives as long as they are held.
        while (mine := holders.held_by_thread()) and not client.ended and not self.stop_event.is_set():
            self.stop_event.wait(EXPIRE_EVERY_S)
        for thing in mine:
            thing.leave()

    def _serve(self, client):
        if self._is_remote:
            holders.watch(client)
        lent = self.lent
        lent.stop, lent.proxies, lent.client = False, [], self.clients.of(client)
        holders.serve(client)
        holders.attend(lent.client, threading.get_ident())
        while not lent.stop:
            payload = client.recv_bytes()
            request: Any = None
            answer: Any
            try:
                ident, method, args, kwds = self.serializer.loads(payload)
                request = (ident, method, args, kwds) if isinstance(method, str) else None
            except Exception:
                answer = wire.TRACEBACK, traceback.format_exc()
            else:
                if method != "incref":
                    # The proxies of the last answer are counted by the client now, or not wanted.
                    lent.proxies = []
                answer = self._carry_out(ident, method, args, kwds)
            self._reply(client, request, answer)
            payload = request = answer = args = kwds = None
        self.stop_event.set()

    def _carry_out(self, ident, method, args, kwds):
        if ident is None:
            return self._control(method, args, kwds)
        try:
            referent = self.referents.get(ident)
            if method not in referent.exposed:
                return self._fall_back(referent, method, args)
            obj, used = referent.obj, referent.used
            function = getattr(used if used is obj or hasattr(used, method) else obj, method)
        except Exception:
            return wire.TRACEBACK, traceback.format_exc()
        try:
            result = function(*args, **kwds)
        except BaseException as error:
            return wire.ERROR, error.with_traceback(None)
        typeid = referent.typeids.get(method)
        if typeid is None:
            if method in wire.TAKING:
                robust = holders.take_told()
                if robust is not None and self.lent.client.told_who:
                    return wire.OWNER_DIED, (result, robust)
            return wire.RETURN, result
        _make, exposed, typeids, _proxytype = self.registry[typeid]
        new_ident, exposed = self._share(result, exposed, typeids)
        return wire.PROXY, (exposed, wire.Token(typeid, self.address, new_ident))

    def _control(self, method, args, kwds):
        try:
            if method not in self.public:
                raise AttributeError(f"a server has no method {method!r} for clients")
            return wire.RETURN, getattr(self, method)(*args, **kwds)
        except BaseException:
            return wire.TRACEBACK, traceback.format_exc()

    def _fall_back(self, referent, method, args):
        """Answer the methods that every proxy may call, whatever its type exposes."""
        if method == "#GETVALUE":
            return wire.RETURN, referent.obj
        if method == wire.RESUME:
            return wire.RETURN, referent.used.resume()
        if method in ("__str__", "__repr__"):
            return wire.RETURN, (str if method == "__str__" else repr)(referent.obj)
        raise AttributeError(f"method {method!r} of a {type(referent.obj).__name__} is not exposed")

    def _reply(self, client, request, answer):
        try:
            payload = self.serializer.dumps(answer)
        except Exception:
            payload = self.serializer.dumps((wire.UNSERIALIZABLE, traceback.format_exc()))
        try:
            # The system accepts a message to the dead over a network all the same.
            if self._is_remote and request is not None and request[1] in WAITING and holders.has_hung_up(client):
                raise EOFError("the client has hung up")
            client.send_bytes(payload)
            if self.lent.client.waits:
                meeting.answered()
        except (OSError, EOFError):
            if request is not None and answer[0] == wire.RETURN:
                self._undo(request, answer[1])
            elif request is not None and answer[0] == wire.OWNER_DIED:
                self._undo(request, answer[1][0], True)
            raise

    def _undo(self, request, result, told=False):
        """The client died while it waited: what it got without knowing goes back to the others."""
        ident, method, _args, _kwds = request
        if ident is None:
            return
        try:
            referent = self.referents.get(ident)
            obj = referent.obj
            if method == "acquire" and result:
                locks.undo_acquire(referent.used, told)
            elif method == "wait" and isinstance(obj, meeting.Condition):
                obj.undo_wait(result, told)
            elif method in ("get", "get_nowait"):
                _put_back(obj, result)
        except Exception:
            util.info("manager: could not take back %s:\n%s", method, traceback.format_exc())


def _nothing():
    return connection.Connection(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))


def _put_back(obj, item):
    """Put an item into a queue again, as the next one that is got."""
    if type(obj) is queue.Queue:
        with obj.mutex:
            obj.queue.appendleft(item)
            obj.not_empty.notify()
    elif type(obj) in (queue.LifoQueue, queue.PriorityQueue):
        with obj.mutex:
            obj._put(item)
            obj.not_empty.notify()
    elif type(obj) is queue.SimpleQueue:
        obj.put(item)  # which has no other end
    elif hasattr(obj, "put_back"):
        obj.put_back(item)
