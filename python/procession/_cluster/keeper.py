"""The nodes with processes of this program.

Each has an agent of no workers, and one thread hears what all of them tell.
"""

import atexit
import itertools
import os
import queue
import sys
import threading
from time import monotonic

from procession import _exceptions, process, util
from procession._children.popen import UNKNOWN_STATUS
from procession._cluster import keys
from procession._cluster.agent import here
from procession._cluster.events import Events
from procession._cluster.packing import Message
from procession.context import get_context

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LOOK_S", "keeper_of"]

START_S = 60.0  # how long a process may take to start
FROZEN_S = 60.0  # a node that tells nothing for so long, though it is asked all the time, is lost
MOST_TRIES = 3  # of nodes, to have an agent start
IDLE_S = 5.0  # how long an agent stays that has no process
LOOK_S = 0.5


class _Host:
    """A node with an agent."""

    def __init__(self, key, handle, engine):
        self.key, self.handle, self.engine = key, handle, engine
        self.posts = self.heard = 0
        self.heard_at = self.used_at = monotonic()
        self.children: dict = {}


class Keeper:
    """All processes of this program on the nodes of a cluster.

    Args:
        method: the name of their context.
    """

    def __init__(self, method):
        self.owner = os.getpid()
        self._method = method
        self._engine: Any = None  # while there are agents
        self._events = Events()
        self._hosts: Any = {}
        self._lost: set = set()  # the keys of nodes that were lost, or have not started an agent
        self._starting = threading.Lock()
        self._lock = threading.RLock()  # nobody waits who has it
        self._numbers = itertools.count(1)
        self._thread: Any = None
        self._is_over = False

    def start(self, popen, sealed, name, settings):
        """Start a process on the node with the fewest; wait until it runs.

        Raises:
            OSError: there is no node.
            NodeLost: the node was lost meanwhile.
            Exception: whatever kept it from being started there.
        """
        with self._starting:
            host = self._host()
            number = next(self._numbers)
            with self._lock:
                popen.node, popen.place = host.key, (host, number)
                host.children[number] = popen
                self._post(host, ("start", number, sealed, name, settings))
        until = monotonic() + START_S
        try:
            while not popen.told.wait(LOOK_S):
                if monotonic() > until:
                    raise TimeoutError(f"node {host.key} did not start the process in {START_S:g} seconds")
        except BaseException:
            popen.kill()
            raise
        if popen.error is not None:
            raise popen.error
        if popen.unknown is not None:
            raise _exceptions.NodeLost(f"node {host.key} was lost while it started a process: {popen.unknown}")

    def _host(self):
        """Return the node with the fewest processes for its CPUs, with an agent."""
        engine = self._engine
        if engine is None or engine.is_over():
            self._lose_all()
            self._engine = get_context(self._method)._engine()
            self._engine.watch(lambda: None, lambda key: self._events.put(("gone", key)))
            if engine is not None:
                engine.close()
        places = self._engine.places()
        if not places:
            raise OSError(f"the cluster has no node that takes work ({self._engine.name}): start one first")

        def burden(place):
            host = self._hosts.get(place.key)
            # An engine may name a node for a while that is lost.
            return place.key in self._lost, (len(host.children) if host else 0) / max(1, place.cpus), place.key

        failed: Exception | None = None
        for place in sorted(places, key=burden)[:MOST_TRIES]:
            with self._lock:
                host = self._hosts.get(place.key)
                if host is not None:
                    host.used_at = monotonic()
                    return host
            try:
                return self._hire(place)
            except Exception as error:
                self._lost.add(place.key)
                failed = failed or error
        assert failed is not None
        raise failed

    def _hire(self, place):
        """Start an agent on a node."""
        terms = {"count": 0, "program": here(), "key": keys.own()}
        host = _Host(place.key, self._engine.start(place, terms), self._engine)
        with self._lock:
            self._lost.discard(place.key)
            self._hosts[place.key] = host
            if self._thread is None:
                self._thread = threading.Thread(target=self._hear, name="NodeProcesses", daemon=True)
                self._thread.start()
        self._collect(host)
        return host

    def signal(self, popen, name):
        """Have a process be sent a signal."""
        host, number = popen.place
        with self._lock:
            if popen.returncode is None and self._hosts.get(host.key) is host:
                self._post(host, ("signal", number, name))

    def _post(self, host, *orders):
        number, host.posts = host.posts, host.posts + 1

        def done(error):
            if error is not None:
                self._events.put(("lost", host, error))

        host.engine.post(host.handle, number, Message.of(list(orders)), done)

    def _collect(self, host):
        def done(found, error):
            self._events.put(("collected", host, found, error))

        host.engine.collect(host.handle, host.heard, done)

    # -- in the thread, which is there as long as there are agents ----------------------------------------------------

    def _hear(self):
        while True:
            try:
                name, *arguments = self._events.get(timeout=LOOK_S)
            except queue.Empty:
                pass
            else:
                try:
                    getattr(self, f"_on_{name}")(*arguments)
                except Exception as error:  # of news that cannot be read: nobody is to wait for more
                    self._on_lost(arguments[0], error)
            if self._engine.is_over():
                self._lose_all()
            now = monotonic()
            for host in list(self._hosts.values()):
                if now - host.heard_at > FROZEN_S:
                    self._on_lost(host, f"it told nothing for {FROZEN_S:g} seconds")
                elif self._is_over or now - host.used_at > IDLE_S:
                    self._dismiss(host)
            if not self._hosts and self._starting.acquire(blocking=False):
                try:
                    if not self._hosts:
                        self._thread = None
                        self._engine.close()
                        self._engine = None
                        return
                finally:
                    self._starting.release()

    def _dismiss(self, host):
        """End an agent that has no process, so that its node can be given back."""
        with self._lock:
            if not self._is_over and (host.children or monotonic() - host.used_at <= IDLE_S):
                return
            self._hosts.pop(host.key, None)
        self._drop(host)

    def _drop(self, host):
        threading.Thread(target=host.engine.drop, args=(host.handle,), name="ClusterEnd", daemon=True).start()

    def _on_collected(self, host, found, error):
        if self._hosts.get(host.key) is not host:
            return
        if error is not None:
            self._on_lost(host, error)
            return
        host.heard_at, news = monotonic(), []
        if found is not None and found[0] > host.heard:
            host.heard, news = found[0], found[1].read()
        self._collect(host)
        for name, number, *arguments in news:
            popen = host.children.get(number)
            if popen is not None:
                getattr(self, f"_told_{name}")(host, number, popen, *arguments)

    def _told_started(self, host, number, popen, pid):
        popen.pid = pid
        popen.told.set()

    def _told_refused(self, host, number, popen, raised):
        popen.error = raised.error()
        self._end(host, number, popen, UNKNOWN_STATUS)

    def _told_output(self, host, number, popen, name, data):
        _write(name, popen.decoders[name].decode(data))

    def _told_ended(self, host, number, popen, status):
        for name, decoder in popen.decoders.items():
            _write(name, decoder.decode(b"", True))
        self._end(host, number, popen, status)

    def _end(self, host, number, popen, status, unknown=None):
        with self._lock:
            host.children.pop(number, None)
            host.used_at = monotonic()
        popen.end(status, unknown)

    def _lose_all(self):
        for host in list(self._hosts.values()):
            self._on_lost(host, "the cluster is gone")

    def _on_gone(self, key):
        host = self._hosts.get(key)
        if host is not None:
            self._on_lost(host, "the cluster has lost it")

    def _on_lost(self, host, why):
        with self._lock:
            if self._hosts.get(host.key) is not host:
                return
            del self._hosts[host.key]
            self._lost.add(host.key)
            children = list(host.children.items())
        for number, popen in children:
            self._end(host, number, popen, UNKNOWN_STATUS, f"node {host.key} was lost: {why}")
        self._drop(host)

    def finish(self):
        """End all agents, and wait for that a little."""
        self._is_over = True
        thread = self._thread
        if thread is not None:
            thread.join(2 * LOOK_S)


def _write(name, text):
    stream = getattr(sys, name, None)
    if text and stream is not None:
        try:
            stream.write(text)
            stream.flush()
        except Exception as error:  # closed, or nobody reads it, or a stream of the program's own fails
            util.info("a process on a node wrote what cannot be shown here: %r", error)


_keepers: dict = {}  # by the start method
_making = threading.Lock()


def keeper_of(method):
    """Return what keeps the processes of this program, for a context's name."""
    with _making:
        known = _keepers.get(method)
        if known is None or known.owner != os.getpid():
            # It comes before the engine lets go of the cluster: what is registered later is called first.
            atexit.register(_finish, os.getpid())
            known = _keepers[method] = Keeper(method)
        return known


def _finish(owner):
    """Do at the end of the program what it does to all its children: end daemons, wait for the others."""
    if owner != os.getpid():
        return
    mine = [keeper for keeper in _keepers.values() if keeper.owner == owner]
    ours = [child for child in list(process._children) if getattr(child._popen, "keeper", None) in mine]
    for child in ours:
        if child.daemon:
            child._popen.terminate()
    for child in ours:
        child.join()
    for keeper in mine:
        keeper.finish()


def _forked():
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forked)
