"""What runs on a node: processes of a program, which are children of this one and do what their objects say."""

import os
import select
import signal
import sys
import threading
from functools import partial

from procession import context, process, reduction
from procession._cluster import keys
from procession._cluster.agent import Agent, here
from procession._cluster.mailbox import Mailbox
from procession._cluster.packing import Raised
from procession._objects import main_module
from procession._objects.descriptors import pipe

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Children", "agent_for"]

STREAMS = ("stdout", "stderr")
_READ_BYTES = 64 << 10
_MOST_UNTOLD = 256  # pieces of output that the program has not collected; then children wait as at a full pipe
_LOOK_S = 1.0
END_S = 2.0


def agent_for(terms):
    """Return what works on this node by these terms: a pool, or processes where there are no workers."""
    return Agent(terms) if terms["count"] else Children(terms)


class Children(Mailbox):
    """The processes of a program on this node.

    Args:
        terms: a dict: the program's process (`program`) and its `keys.Key` (`key`), no workers (`count`).
    """

    def __init__(self, terms):
        super().__init__()
        main_module.hide(terms["program"] != here())
        self._key = terms["key"]
        self._children: dict = {}
        self.begin()

    def _start_ordered(self, number, sealed, name, settings):
        streams: list = []
        writers: list = []
        try:
            for _ in STREAMS:
                reader, writer = pipe()
                streams.append(reader)
                writers.append(writer)
            work = _Work(sealed, self._key, writers)
            child = context.get_context("forkserver").Process(target=work, name=name, daemon=True, **settings)
            child.start()
        except Exception as error:
            for stream in streams:
                os.close(stream)
            self._tell("refused", number, Raised.by(error))
            return
        finally:
            for writer in writers:
                os.close(writer)
        self._children[number] = child
        self._tell("started", number, child.pid)
        attend = partial(self._attend, number, child, dict(zip(streams, STREAMS, strict=True)))
        threading.Thread(target=attend, name="ClusterChild", daemon=True).start()

    def _signal_ordered(self, number, name):
        child = self._children.get(number)
        if child is not None:
            getattr(child, name)()

    def _attend(self, number, child, streams):
        """Tell what a child writes until it ends, and how that was."""
        waiting = select.poll()
        for descriptor in (*streams, child.sentinel):
            os.set_blocking(descriptor, False)
            waiting.register(descriptor, select.POLLIN)
        has_ended = False
        while not has_ended:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            has_ended = child.sentinel in ready
            # What has ended has written all, though others may have its streams.
            for descriptor in list(streams) if has_ended else set(ready) & set(streams):
                while data := _read(descriptor):
                    self._await_room()
                    self._tell("output", number, streams[descriptor], data)
                if data is not None or has_ended:
                    waiting.unregister(descriptor)
                    os.close(descriptor)
                    del streams[descriptor]
        child.join()
        self._tell("ended", number, child.exitcode)
        del self._children[number]

    def _await_room(self):
        with self._news:
            while len(self._untold) > _MOST_UNTOLD and not self._ended:
                self._news.wait(_LOOK_S)

    def _finish(self):
        children = list(self._children.values())
        for child in children:
            child.kill()
        for child in children:
            child.join(END_S)


def _read(descriptor):
    """Return what a pipe holds, nothing at its end, None if it holds nothing now."""
    try:
        return os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return None


class _Work:
    """What a child does: become the process of the program, and run it.

    Args:
        sealed: the pickle of the process object.
        key: the key of the program.
        writers: descriptors for what it writes to standard output and error.
    """

    def __init__(self, sealed, key, writers):
        self._sealed, self._key, self._writers = sealed, key, writers

    def __reduce__(self):
        return _arrived, (self._sealed, self._key, [reduction.DupFd(writer) for writer in self._writers])

    def __call__(self):
        for number, writer in enumerate(self._writers, 1):
            os.dup2(writer, number)
            os.close(writer)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(line_buffering=True)
        _heed_signals()
        keys.adopt(self._key)
        own = process.current_process()
        whole: Any = self._sealed.open()
        whole._config = {**own._config, **whole._config}
        whole._parent_pid, whole._parent_name = own._parent_pid, own._parent_name
        process._names["_current_process"] = whole
        whole.run()


def _heed_signals():
    """Heed signals as any new process: what the engine's own ignores or blocks is no wish of the program."""
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGPIPE, signal.SIGXFSZ) and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _arrived(sealed, key, writers):
    return _Work(sealed, key, [writer.detach() for writer in writers])
