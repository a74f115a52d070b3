"""Process objects, and what the running process knows about itself, its parent and its children.

A long file: programs and tools look up, replace and derive from all of it here.
"""

import itertools
import os
import sys
from _thread import _local  # `threading` would double the time that the package takes to load
from _weakref import ref

from procession import _standard
from procession._procession import own_end, wait_readable

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any, Unpack

    from procession._typed.options import Settings

__all__ = ["BaseProcess", "active_children", "around_child", "current_process", "parent_process"]

try:
    ORIGINAL_DIR: "str | None" = os.path.abspath(os.getcwd())
except OSError:  # the directory was removed
    ORIGINAL_DIR = None


def current_process() -> "BaseProcess":
    """Return the process object of the running process."""
    return _current_process


def parent_process() -> "BaseProcess | None":
    """Return an object for the process that started this one, or None in the main process."""
    return _parent_process


def active_children() -> "list[BaseProcess]":
    """Return the list of living child processes; those that have ended are joined on the way."""
    _cleanup()
    here = os.getpid()
    return [child for child in list(_children) if child._parent_pid == here]  # those of a parent are not ours


def around_child(factory: "Callable[[], AbstractContextManager[object, bool | None]]") -> "Callable[[], None]":
    """Have each child that is started from now on, and its children, live within the context manager that `factory()`
    returns there: for profilers, tracers, and what else looks into processes. Workers of pools and servers of managers
    are children, too.

    It is entered before the target, in the order of these calls, and left after the exit functions, with no exception:
    the target's own has been printed. An error in it is printed, and the child ends with status 1. Who is killed leaves
    nothing, so a pool that is terminated gives its idle workers time for it.

    Args:
        factory: a callable that children can import: a function or class of a module, or a `functools.partial` of one.

    Returns:
        A function that takes it back.

    Raises:
        TypeError: it is not callable, or children cannot import it.
    """
    from procession import _around

    return _around.add(factory)


def _cleanup():
    for child in list(_children):
        if child._popen is None or child._popen.poll() is not None:
            _children.discard(child)


# The default of keyword arguments, as the interpreter's own processes have it.
_NO_NAMED: "dict | None" = {} if sys.version_info < (3, 14) else None


class BaseProcess:
    """An activity that runs in a process of its own; see the `multiprocessing` documentation.

    Args:
        group: always None.
        target: what `run` calls; None calls nothing.
        name: for people; by default made of the class's name and a number.
        args, kwargs: what `target` is called with; None as kwargs is none.
        daemon: whether the process is terminated when its parent exits; None takes the parent's value.
        env: variables of the environment, a mapping of texts; None as a value removes one. The others are the parent's.
        cwd: the working directory, a path.
        nice: what is added to the number of its priority; more is kinder to others.
        cpu_affinity: the numbers of the CPUs that it may use.
        max_memory: bytes of private memory; more is a MemoryError in the child.

    The child has the last five before it imports anything of the program's; what the system refuses of them ends it
    with a traceback.

    Raises:
        AssertionError: `group` is not None.
        TypeError, ValueError: another argument makes no sense.
    """

    _start_method: "str | None" = None  # that its children have, too; None leaves it
    _settings: dict = {}  # of a subclass whose constructor does not come here
    _warns_of_threads = True  # when it is forked while other threads run
    _is_worker = False  # of a pool
    _expected: "Any" = None  # what its target reads, a `variables.Expected`
    _heeds_interrupts = True  # whether Ctrl-C is a KeyboardInterrupt there from the first moment on
    _starting = False  # while another thread may see the child, and not yet what its parent knows it by

    _identity: "tuple[int, ...]"
    _config: "dict[str, Any]"
    _name: str
    _parent_pid: "int | None"
    _popen: "Any"  # a Popen, once it is started
    _inheriting: bool  # set while a child is being prepared

    def _Popen(self, process: "BaseProcess") -> "Any":
        raise NotImplementedError(f"{type(self).__name__} has no start method; use Process of a context")

    def __init__(
        self,
        group: None = None,
        target: "Callable[..., object] | None" = None,
        name: "str | None" = None,
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = _NO_NAMED,
        *,
        daemon: "bool | None" = None,
        **settings: "Unpack[Settings]",
    ) -> None:
        if group is not None:
            raise AssertionError("group must be None: there are no process groups here")
        parent = _current_process
        self._identity = parent._identity + (next(_process_counter),)
        self._config = parent._config.copy()
        self._parent_pid = os.getpid()
        self._parent_name = parent._name
        self._popen = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = {} if kwargs is None else dict(kwargs)
        self._name = name or f"{type(self).__name__}-{':'.join(map(str, self._identity))}"
        if daemon is not None:
            self.daemon = daemon
        if settings:
            from procession._settings import check, names

            unknown = next((name for name in settings if name not in names), None)
            if unknown is not None:
                raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {unknown!r}")
            self._settings = check(**settings)
        _alive.add(ref(self, _forget))

    def run(self) -> None:
        """Call the target; subclasses override this."""
        if self._target:
            self._target(*self._args, **self._kwargs)

    def _bootstrap(self, parent_sentinel=None):
        """Run in the child and return the exit status; a tool may put another function around it."""
        from procession._children import child

        return child.run_whole(self)

    def start(self) -> None:
        """Start the process. Does not wait until it runs the target.

        Raises:
            AssertionError: it was started before, or belongs to another process.
            ValueError: the object is closed.
            PicklingError, TypeError, AttributeError: something it needs cannot be pickled; the message says what.
            OSError: the system refuses a process.
        """
        if self._closed:
            self._check_closed()
        if self._popen is not None:
            raise AssertionError("a process is started only once")
        if self._parent_pid != os.getpid():
            raise AssertionError("a process object is started by the process that made it")
        if _children:
            _cleanup()
        self._starting = True
        try:
            self._popen = self._Popen(self)
        finally:
            self._starting = False
        # The child has its own; keeping these would keep the user's objects alive as long as this one.
        del self._target, self._args, self._kwargs
        _children.add(self)

    def _signal(self, name):
        self._check_closed()
        if self._popen is None:
            from procession._exceptions import NotStarted

            if self in (_current_process, _parent_process):
                raise NotStarted(f"cannot {name} {self!r}: only its parent can, by the object that it started")
            raise NotStarted(f"cannot {name} a process that was not started: call start() first")
        getattr(self._popen, name)()

    def terminate(self) -> None:
        """Send SIGTERM, which ends the process unless it handles that. Does not wait. One that has ended is left alone.

        Raises:
            ValueError: the object is closed, or was not started: then an AttributeError, too.
        """
        self._signal("terminate")

    def kill(self) -> None:
        """Send SIGKILL, which ends the process at once. Does not wait. One that has ended is left alone.

        Raises:
            ValueError: the object is closed, or was not started: then an AttributeError, too.
        """
        self._signal("kill")

    def interrupt(self) -> None:
        """Send SIGINT, a KeyboardInterrupt there unless it handles it. Does not wait. One that has ended is left alone.

        Raises:
            ValueError: the object is closed, or was not started: then an AttributeError, too.
        """
        self._signal("interrupt")

    def join(self, timeout: "float | None" = None) -> None:
        """Wait until the process ends or `timeout` seconds are over (None: no limit; `exitcode` tells which it was).

        Raises:
            AssertionError: it was not started, or not by this process.
            ValueError: the object is closed.
        """
        if self._closed:
            self._check_closed()
        if self._parent_pid != os.getpid():
            raise AssertionError("only the parent of a process can join it")
        if self._popen is None:
            raise AssertionError("a process must be started before it is joined")
        if self._popen.wait(timeout) is not None:
            _children.discard(self)

    def is_alive(self) -> bool:
        """Return whether the process runs. Does not wait.

        Raises:
            AssertionError: it belongs to another process.
            ValueError: the object is closed.
        """
        self._check_closed()
        if self is _current_process:
            return True
        if self._parent_pid != os.getpid():
            raise AssertionError("only the parent of a process can ask whether it is alive")
        if self._popen is None:
            return self._starting
        if self._popen.poll() is None:
            return True
        _children.discard(self)
        return False

    def close(self) -> None:
        """Release what the object holds; most methods raise ValueError afterwards.

        Raises:
            ValueError: the process still runs.
        """
        if self._popen is not None:
            if self._popen.poll() is None:
                raise ValueError("a running process cannot be closed: join or terminate it first")
            self._popen.close()
            self._popen = None
            _children.discard(self)
        self._closed = True

    def _check_closed(self):
        if self._closed:
            raise ValueError("this process object is closed")

    @property
    def name(self) -> str:
        """The name, for people: it need not be another for each process, and can be set."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise AssertionError("the name of a process must be a string")
        self._name = name

    @property
    def daemon(self) -> bool:
        """Whether the process is terminated when its parent exits; it can be set until the process is started."""
        return self._config.get("daemon", False)

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        if self._popen is not None:
            raise AssertionError("daemon is set before the process is started")
        self._config["daemon"] = daemonic

    @property
    def authkey(self) -> bytes:
        """The key that connections between this family of processes prove to know."""
        return self._config["authkey"]

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self) -> "int | None":
        """The exit status, or the negative number of the signal that ended the process; None before it has ended."""
        self._check_closed()
        return None if self._popen is None or self is _current_process else self._popen.poll()

    @property
    def ident(self) -> "int | None":
        """The process's id, or None before it is started."""
        self._check_closed()
        if self is _current_process:
            return os.getpid()
        return self._popen.pid if self._popen is not None else None

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process ends, for `connection.wait` among others.

        Raises:
            ValueError: it was not started, or the object is closed.
        """
        self._check_closed()
        if self._popen is None:
            raise ValueError("a process has a sentinel only after it is started")
        return self._popen.sentinel

    def __repr__(self):
        words = [f"name={self._name!r}"]
        if self._popen is not None:
            words.append(f"pid={self._popen.pid}")
        words += [f"parent={self._parent_pid}", self._state()]
        if self.daemon:
            words.append("daemon")
        return f"<{type(self).__name__} {' '.join(words)}>"

    def _state(self):
        if self is _current_process:
            return "started"
        if self._closed:
            return "closed"
        if self._popen is None:
            return "initial"
        code = self._popen.poll()
        return "started" if code is None else f"stopped exitcode={_exit_name(code)}"


def _exit_name(code):
    import signal

    try:
        return signal.Signals(-code).name if code < 0 else code
    except ValueError:
        return code


class AuthenticationString(bytes):
    """A key. It is shown nowhere, and pickled only for a child that is being started: it never leaves by accident."""

    def __repr__(self):
        return f"<authentication key of {len(self)} bytes>"

    # That of bytes shows them.
    __str__ = __repr__

    def __reduce__(self):
        if get_spawning_popen() is not None:
            return AuthenticationString, (bytes(self),)
        if _standard.is_spawning():
            return _standard.loaded("process").AuthenticationString, (bytes(self),)
        raise TypeError("a key is given to children only: pickling it elsewhere would give it away")


class _ParentProcess(BaseProcess):
    """The process that started this one, as seen from here."""

    def __init__(self, name, pid, sentinel):
        self._identity = ()
        self._name = name
        self._pid = pid
        self._parent_pid = None
        self._popen = None
        self._closed = False
        self._sentinel = sentinel
        self._config = {}

    def is_alive(self):
        return not wait_readable([self._sentinel], 0)

    @property
    def ident(self):
        return self._pid

    pid = ident

    @property
    def sentinel(self):
        return self._sentinel

    def join(self, timeout=None):
        """Wait until the parent ends or `timeout` seconds are over."""
        wait_readable([self._sentinel], timeout)


class _MainProcess(BaseProcess):
    """The process that nobody here started."""

    def __init__(self):
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None
        self._popen = None
        self._closed = False
        # The standard library's semaphores ask for the prefix: in a child its process object is ours.
        self._config = _standard.shared_config({"authkey": AuthenticationString(os.urandom(32)), "semprefix": "/mp"})

    def close(self):
        pass


# -- what is being started ------------------------------------------------------------------------------------------

_tls = _local()
_default_context: "Any" = None  # the context behind the package's own functions, which puts itself here


def default_context() -> "Any":
    """Return the context behind the package's own functions, whose start method can be set."""
    return _default_context


def get_spawning_popen() -> "Any":
    """Return the Popen whose process object this thread is pickling, or None."""
    popen = getattr(_tls, "spawning_popen", None)
    if popen is None and _standard.is_replaced():
        # A library that keeps the standard engine is asked here by parts of that, which import by name.
        return _standard.loaded("context").get_spawning_popen()
    return popen


def set_spawning_popen(popen: object) -> None:
    """Say which Popen's process object this thread is pickling."""
    _tls.spawning_popen = popen
    _standard.spawning(popen)


def assert_spawning(obj: object) -> None:
    """Raise RuntimeError unless a process object is being pickled for its child."""
    if get_spawning_popen() is None:
        name = type(obj).__name__
        raise RuntimeError(
            f"{name} objects should only be shared between processes through inheritance:"
            " give it to Process(args=...) or to the initializer of a pool"
        )


# -- the running process --------------------------------------------------------------------------------------------

# Set in children that do not have the parent's main module by a fork, which know no more of it until they need to.
lacks_main = False  # whether this one has no copy of it
main_names: "frozenset[str] | None" = None  # what it had when it was imported here

_own_pidfd = (0, -1)  # of which process, the descriptor


def own_pidfd() -> int:
    """Return a descriptor that children watch to learn of this process's end; it is made once."""
    global _own_pidfd
    pid, descriptor = _own_pidfd
    if pid != os.getpid():
        # An inherited one stays open: the lifeline of this process may be told of it by number.
        descriptor = own_end()
        _own_pidfd = (os.getpid(), descriptor)
    return descriptor


def _identity_chores(process, parent_sentinel):
    """Return the calls that make `process` the running process's own object, in a child that has just begun."""
    global _known
    here, begin, parent = _known
    if here != os.getpid() or (parent._pid, parent._name, parent._sentinel) != (
        process._parent_pid,
        process._parent_name,
        parent_sentinel,
    ):
        parent = _ParentProcess(process._parent_name, process._parent_pid, parent_sentinel)
        names = {
            "_process_counter": itertools.count(1),
            "_children": set(),
            "_parent_process": parent,
            "_inherited": (_process_counter, _children, _current_process, _parent_process, _inherited),
            "_known": (0, None, None),
        }
        begin = _names.update, (names,)
        _known = os.getpid(), begin, parent
    chores = [begin, (_names.__setitem__, ("_current_process", process))]
    method = process._start_method
    if method is not None:
        if method not in _fixing:
            _fixing[method] = setattr, (_default_context, "_actual_context", _default_context.get_context(method))
        chores.append(_fixing[method])
    if _standard.kept or "multiprocessing.process" in sys.modules or "multiprocessing.util" in sys.modules:
        chores += _standard._chores(process, parent)
    return chores


_fixing: dict = {}  # the calls that fix a start method, by its name


_names = globals()
# For which process, the call that makes a child of it what all of them are, which is kept as it is, and that process as
# they see it: what is there already need not be copied.
_known: tuple = (0, None, None)


_own_bootstrap: "Callable[..., int]" = BaseProcess._bootstrap

_current_process = _MainProcess()
_parent_process: "Any" = None  # an object of _ParentProcess; None in the main process
_process_counter = itertools.count(1)
_children: "set[BaseProcess]" = set()
# In a forked child, the parent's values of these: to take them apart would write to all that they refer to.
_inherited: tuple = ()
# All process objects. A set of the interpreter's weak references would take as long to load as this module, and its
# methods, which are Python's, would cost each start a dozen pages.
_alive: "set[ref[BaseProcess]]" = set()
_forget = _alive.discard


def __getattr__(name: str) -> "Any":
    """Make a set of weak references of `_alive` when it is asked for: the interpreter's tests know its name."""
    if name != "_dangling":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from _weakrefset import WeakSet

    known = globals()[name] = WeakSet()
    vars(known)["data"] = _alive
    return known
