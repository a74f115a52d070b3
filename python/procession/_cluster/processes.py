"""Processes on the nodes of a cluster, as their program holds them."""

import codecs
import os
import threading
from time import monotonic

from procession import process, util
from procession._cluster.keeper import LOOK_S, keeper_of
from procession._cluster.packing import seal

__all__ = ["ClusterProcess", "class_of"]

_STREAMS = ("stdout", "stderr")


class Popen:
    """A process on a node that was started.

    Attributes:
        keeper: what starts it, and hears of it.
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
        self.keeper = keeper_of(method)
        self.decoders = {name: codecs.getincrementaldecoder("utf-8")("backslashreplace") for name in _STREAMS}
        self.recalls: list = []  # take back what was sent along, and has not arrived
        util._flush_std_streams()
        self.keeper.start(self, self._pickle(process_obj), process_obj._name, process_obj._settings)

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
        while not self.over.is_set() and self.keeper.owner == os.getpid():
            left = LOOK_S if until is None else min(LOOK_S, until - monotonic())
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
        self.keeper.signal(self, "interrupt")

    def terminate(self):
        """Send SIGTERM."""
        self.keeper.signal(self, "terminate")

    def kill(self):
        """Send SIGKILL."""
        self.keeper.signal(self, "kill")

    def close(self):
        """Release the descriptors of the sentinel."""
        with self._lock:
            ends, self._sentinel = self._sentinel or (), None
        for end in ends:
            os.close(end)


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
