"""Processes on the nodes of a cluster, as their program holds them.

Each node that has some has an agent of no workers; one thread of the program hears what all of them tell.
"""

import atexit
import codecs
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
from procession._cluster.packing import Message, seal
from procession.context import get_context

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ClusterProcess", "class_of"]

START_S = 60.0  # how long a process may take to start
FROZEN_S = 60.0  # a node that tells nothing for so long, though it is asked all the time, is lost
IDLE_S = 5.0  # how long an agent stays that has no process
_LOOK_S = 0.5


class Popen:
    """A process on a node that was started.

    Attributes:
        node: the engine's name of the node.
        unknown: why the exit status is not known, where it is not.
    """

    def __init__(self, process_obj, method):
        self.method = method
        self.returncode = self.unknown = self.pid = self.node = self.place = None
        self.error: BaseException | None = None
        self.told = threading.Event()  # it has started, or could not
        self.over = threading.Event()
        self._sentinel = None
        self._lock = threading.Lock()
        self._keeper = keeper = _keeper(method)
        self.decoders = {name: codecs.getincrementaldecoder("utf-8")("backslashreplace") for name in _STREAMS}
        self.recalls: list = []  # take back what was sent along, and has not arrived
        util._flush_std_streams()
        keeper.start(self, self._pickle(process_obj), process_obj._name, process_obj._settings)

    def _pickle(self, process_obj):
        before, config = process.get_spawning_popen(), process_obj._config
        process_obj._config = {"daemon": bool(config.get("daemon"))}  # the key of this program stays here
        process.set_spawning_popen(self)
        try:
            return seal(process_obj)
        finally:
            process.set_spawning_popen(before)
            process_obj._config = config

    def duplicate_for_child(self, fd):
        """Raise NotImplementedError: descriptors are of one machine."""
        raise NotImplementedError(
            f"descriptor {fd} is of this machine, and the process is to be on another one: what they share is made by "
            f"get_context({self.method!r}), or inherited by a process of get_context('spawn')"
        )

    DupFd = duplicate_for_child

    def end(self, status, unknown=None):
        """The process has ended."""
        with self._lock:
            self.returncode, self.unknown = status, unknown
            if self._sentinel is not None:
                os.write(self._sentinel[1], b"x")
        self.told.set()
        self.over.set()
        vars(self).pop("_kept_proxies", None)
        while self.recalls:
            self.recalls.pop()()

    def poll(self, flag=os.WNOHANG):
        """Return the exit status, or None while the process runs; flag 0 waits for it."""
        return self.wait(None if flag == 0 else 0)

    def wait(self, timeout=None):
        """Wait for the end at most `timeout` seconds and return the exit status, or None."""
        until = None if timeout is None else monotonic() + timeout
        while not self.over.is_set() and self._keeper.owner == os.getpid():
            left = _LOOK_S if until is None else min(_LOOK_S, until - monotonic())
            if left <= 0:
                break
            self.over.wait(left)
        return self.returncode

    @property
    def sentinel(self):
        """A descriptor that is ready to be read once this program has learnt of the end."""
        with self._lock:
            if self._sentinel is None:
                self._sentinel = os.pipe()
                if self.returncode is not None:
                    os.write(self._sentinel[1], b"x")
            return self._sentinel[0]

    def interrupt(self):
        """Send SIGINT."""
        self._keeper.signal(self, "interrupt")

    def terminate(self):
        """Send SIGTERM."""
        self._keeper.signal(self, "terminate")

    def kill(self):
        """Send SIGKILL."""
        self._keeper.signal(self, "kill")

    def close(self):
        """Release the descriptors of the sentinel."""
        with self._lock:
            ends, self._sentinel = self._sentinel or (), None
        for end in ends:
            os.close(end)


_STREAMS = ("stdout", "stderr")


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
            while not popen.told.wait(_LOOK_S):
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
            return (len(host.children) if host else 0) / max(1, place.cpus), place.key

        place = min(places, key=burden)
        with self._lock:
            host: Any = self._hosts.get(place.key)
            if host is not None:
                host.used_at = monotonic()
                return host
        terms = {"count": 0, "program": here(), "key": keys.own()}
        host = _Host(place.key, self._engine.start(place, terms), self._engine)
        with self._lock:
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
                name, *arguments = self._events.get(timeout=_LOOK_S)
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
            children = list(host.children.items())
        for number, popen in children:
            self._end(host, number, popen, UNKNOWN_STATUS, f"node {host.key} was lost: {why}")
        self._drop(host)

    def finish(self):
        """End all agents, and wait for that a little."""
        self._is_over = True
        thread = self._thread
        if thread is not None:
            thread.join(2 * _LOOK_S)


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


def _keeper(method):
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
    ours = [child for child in list(process._children) if type(child._popen) is Popen]
    for child in ours:
        if child.daemon:
            child._popen.terminate()
    for child in ours:
        child.join()
    for keeper in _keepers.values():
        if keeper.owner == owner:
            keeper.finish()


def _forked():
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_forked)


class ClusterProcess(process.BaseProcess):
    """A process on a node of a cluster; `class_of` returns the class of a context.

    What it writes to standard output and error comes to those of the program. Its exit code is 255 when its node is
    lost.
    """

    @classmethod
    def _Popen(cls, process_obj):
        return Popen(process_obj, cls._start_method)

    @property
    def node(self) -> "str | None":
        """What the cluster calls the node where it is; None before it is started."""
        return self._popen.node if self._popen is not None else None

    def __repr__(self):
        text = super().__repr__()
        return text if self.node is None else f"{text[:-1]} node={self.node}>"


_classes: dict = {}


def class_of(method):
    """Return the class of the processes of a context, by its name."""
    known = _classes.get(method)
    if known is None:
        name = f"{method.title()}Process"
        body = {"__module__": __name__, "__qualname__": name, "_start_method": method}
        known = _classes[method] = type(name, (ClusterProcess,), body)
    return known


def __getattr__(name):
    """Return the class that a pickle names."""
    if name.endswith("Process") and name[0].isupper() and name != "Process":
        return class_of(name.removesuffix("Process").lower())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
