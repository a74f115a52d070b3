"""Contexts: a start method together with every constructor.

A long file: a method for each constructor, with its types.
"""

import sys

from procession import _standard, process
from procession.process import _tls, assert_spawning, get_spawning_popen, set_spawning_popen  # noqa: F401 # as programs ask here

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable
    from os import PathLike
    from types import ModuleType
    from typing import Any, Literal, Unpack

    from procession import pool, queues, synchronize
    from procession._exceptions import (
        AuthenticationError as AuthenticationError,
        BufferTooShort as BufferTooShort,
        ProcessError as ProcessError,
        TimeoutError as TimeoutError,
    )
    from procession._typed.context import Concrete as _Concrete, Overloads as _Overloads
    from procession._typed.options import PoolOptions
    from procession.connection import Connection
    from procession.managers import SyncManager
else:
    _Overloads = object

__all__: "list[str]" = []

DEFAULT_START_METHOD = "forkserver"
_EXCEPTIONS = ("AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError")  # fetched when asked for


def __getattr__(name):
    if name in _EXCEPTIONS:
        from procession import _exceptions

        value = globals()[name] = getattr(_exceptions, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Exception:
    """An exception class as an attribute of contexts, fetched when first asked for."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner):
        return getattr(sys.modules[__name__], self.name)


class Constructors(_Overloads):
    """What every context has: constructors and settings. Each imports what it needs when it is called: importing the
    package stays quick."""

    _elsewhere: "Any" = None  # the context that makes all of it, where its processes are not those of this machine

    def Manager(self) -> "SyncManager":
        """Return a started manager: a process that holds objects which others use through proxies. Waits until it runs.

        Raises:
            OSError: the system refuses a process.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Manager()
        from procession.managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def Pipe(self, duplex: bool = True) -> "tuple[Connection, Connection]":
        """Return two connections, the ends of a pipe.

        Args:
            duplex: whether both can send and receive; otherwise the first only receives, the second only sends.

        Raises:
            OSError: the system refuses descriptors.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Pipe(duplex)
        from procession.connection import Pipe

        return Pipe(duplex)

    def Lock(self, *, robust: bool = False) -> "synchronize.Lock":
        """Return a lock.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Lock(robust=robust)
        from procession.synchronize import Lock

        return Lock(robust=robust, ctx=self.get_context())

    def RLock(self, *, robust: bool = False) -> "synchronize.RLock":
        """Return a lock that its owner may acquire again.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        if self._elsewhere is not None:
            return self._elsewhere.RLock(robust=robust)
        from procession.synchronize import RLock

        return RLock(robust=robust, ctx=self.get_context())

    def Condition(self, lock: "synchronize.Lock | synchronize.RLock | None" = None) -> "synchronize.Condition":
        """Return a condition variable.

        Args:
            lock: a lock of this context; None for a new `RLock`.

        Raises:
            TypeError: another kind of lock.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Condition(lock)
        from procession.synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> "synchronize.Semaphore":
        """Return a semaphore.

        Args:
            value: how many permits there are at the beginning.

        Raises:
            TypeError: it is no integer.
            ValueError: it is negative, or too many.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Semaphore(value)
        from procession.synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> "synchronize.BoundedSemaphore":
        """Return a semaphore that cannot be released above its first value: that is a ValueError.

        Args:
            value: how many permits there are at the beginning.

        Raises:
            TypeError, ValueError: as for `Semaphore`.
        """
        if self._elsewhere is not None:
            return self._elsewhere.BoundedSemaphore(value)
        from procession.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> "synchronize.Event":
        """Return an event: a flag to wait for, which is not set."""
        if self._elsewhere is not None:
            return self._elsewhere.Event()
        from procession.synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: "Callable[[], object] | None" = None, timeout: "float | None" = None
    ) -> "synchronize.Barrier":
        """Return a barrier, where a number of parties meet.

        Args:
            parties: how many meet before any goes on.
            action: called by one of them when all have come.
            timeout: seconds that its `wait` waits when it is not told otherwise; None for no limit.

        Raises:
            TypeError, ValueError: `parties` is no number of parties.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Barrier(parties, action, timeout)
        from procession.synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> "queues.Queue[Any]":
        """Return a queue of objects.

        Args:
            maxsize: how many objects there is room for; 0 for as many as memory holds.

        Raises:
            TypeError, OverflowError: that is no integer, or too many.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Queue(maxsize)
        from procession.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> "queues.JoinableQueue[Any]":
        """Return a queue that counts the objects that are done; for `maxsize` see `Queue`."""
        if self._elsewhere is not None:
            return self._elsewhere.JoinableQueue(maxsize)
        from procession.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> "queues.SimpleQueue[Any]":
        """Return a queue with the fewest methods: `put`, `get`, `empty`, `close`."""
        if self._elsewhere is not None:
            return self._elsewhere.SimpleQueue()
        from procession.queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(
        self,
        processes: "int | None" = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
        maxtasksperchild: "int | None" = None,
        **options: "Unpack[PoolOptions]",
    ) -> "pool.Pool":
        """Return a pool of worker processes.

        Args:
            processes: how many workers; None for as many as this process may use CPUs.
            initializer: what each worker calls first, with `initargs`.
            maxtasksperchild: after so many chunks a worker is replaced; None for never.
            options: what else `procession.pool.Pool` takes, by name; its page says what each means.

        Raises:
            ValueError, TypeError: an argument makes no sense.
            OSError: a worker could not be started.
        """
        if self._elsewhere is not None:
            return self._elsewhere.Pool(processes, initializer, initargs, maxtasksperchild, **options)
        from procession.pool import Pool

        count = self._pool_size(processes)
        return Pool(count, initializer, initargs, maxtasksperchild, context=self.get_context(), **options)

    def _pool_size(self, processes):
        """Return how many workers a pool has that is to have so many; None: as many as a pool has by itself."""
        return processes

    if not TYPE_CHECKING:  # its overloads: `_typed.context`

        def RawValue(self, typecode_or_type, *args):
            """Return a ctypes object in shared memory, without a lock.

            Args:
                typecode_or_type: a ctypes type, or a letter as the `array` module has them.
                args: what the type is called with.

            Raises:
                TypeError: there is no such type, or it does not take `args`.
            """
            if self._elsewhere is not None:
                return self._elsewhere.RawValue(typecode_or_type, *args)
            from procession.sharedctypes import RawValue

            return RawValue(typecode_or_type, *args)

        def RawArray(self, typecode_or_type, size_or_initializer):
            """Return a ctypes array in shared memory, without a lock.

            Args:
                typecode_or_type: a ctypes type, or a letter as the `array` module has them.
                size_or_initializer: how many elements, all zero, or a sequence of them.

            Raises:
                TypeError, ValueError: there is no such type, or no array of that size or with these elements.
            """
            if self._elsewhere is not None:
                return self._elsewhere.RawArray(typecode_or_type, size_or_initializer)
            from procession.sharedctypes import RawArray

            return RawArray(typecode_or_type, size_or_initializer)

        def Value(self, typecode_or_type, *args, lock=True):
            """Return a ctypes object in shared memory with a lock.

            Args:
                typecode_or_type: a ctypes type, or a letter as the `array` module has them.
                args: what the type is called with.
                lock: True for a new `RLock`, a lock, or False for none: then it is as of `RawValue`.

            Raises:
                TypeError: there is no such type, or it does not take `args`.
                AttributeError: `lock` is no lock.
            """
            if self._elsewhere is not None:
                return self._elsewhere.Value(typecode_or_type, *args, lock=lock)
            from procession.sharedctypes import Value

            return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

        def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
            """Return a ctypes array in shared memory with a lock.

            Args:
                typecode_or_type: a ctypes type, or a letter as the `array` module has them.
                size_or_initializer: how many elements, all zero, or a sequence of them.
                lock: True for a new `RLock`, a lock, or False for none: then it is as of `RawArray`.

            Raises:
                TypeError, ValueError: there is no such type, or no array of that size or with these elements.
                AttributeError: `lock` is no lock.
            """
            if self._elsewhere is not None:
                return self._elsewhere.Array(typecode_or_type, size_or_initializer, lock=lock)
            from procession.sharedctypes import Array

            return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def freeze_support(self) -> None:
        """Run the child and exit, in a frozen executable that was started as one; else do nothing. To be called right
        behind `if __name__ == "__main__":`."""
        from procession.spawn import freeze_support

        freeze_support()

    def get_logger(self) -> "logging.Logger":
        """Return the logger of this package, `multiprocessing`, which has no handler until a program adds one, and
        hands nothing on to others."""
        from procession.util import get_logger

        return get_logger()

    def log_to_stderr(self, level: "int | str | None" = None) -> "logging.Logger":
        """Have the logger print to stderr, and return it.

        Args:
            level: the least that it prints, a number or name of `logging`; None leaves it.

        Raises:
            ValueError: there is no such level.
        """
        from procession.util import log_to_stderr

        return log_to_stderr(level)

    def allow_connection_pickling(self) -> None:
        """Make connections and sockets picklable, which they are anyway."""
        from procession import connection  # noqa: F401

    def set_executable(self, executable: "str | bytes | PathLike[str] | None") -> None:
        """Set the interpreter that new children of `spawn` and `forkserver` run.

        Args:
            executable: its path; None for that of this process.

        Raises:
            TypeError: it is no path.
        """
        from procession.spawn import set_executable

        set_executable(executable)

    def set_forkserver_preload(
        self, module_names: "list[str]", *, on_error: "Literal['ignore', 'warn', 'fail']" = "ignore"
    ) -> None:
        """Set the modules that the forkserver imports before it forks.

        Args:
            module_names: names of modules, for the next server that is started.
            on_error: what happens when one cannot be imported: "ignore" leaves it to the children, "warn" has the
                server write an ImportWarning to stderr as well, with "fail" the server ends with the traceback on
                stderr, and starting a process raises EOFError.

        Raises:
            TypeError: `module_names` is not a list of strings.
            ValueError: `on_error` is none of these.
        """
        from procession.forkserver import set_forkserver_preload

        set_forkserver_preload(module_names, on_error=on_error)


class BaseContext(Constructors):
    """Everything a program needs, for one start method."""

    _name: "str | None" = None
    ProcessError = _Exception()
    BufferTooShort = _Exception()
    TimeoutError = _Exception()
    AuthenticationError = _Exception()

    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)

    @property  # type: ignore[misc]  # read-only is enough
    def __class__(self):
        # For isinstance(context, multiprocessing.context.BaseContext), which libraries ask, without importing it.
        module = _standard.loaded("context")
        return type(self) if module is None else _also_standard(type(self), module.BaseContext)

    crew: "str | None" = None  # who works for its pools: None for processes of its start method

    def __reduce__(self):
        return get_context, (self._name,)

    def cpu_count(self) -> int:
        """Return the number of CPUs that this process may use, by its affinity.

        Raises:
            NotImplementedError: the system does not tell.
        """
        if self._elsewhere is not None:
            return self._elsewhere.cpu_count()
        from procession._pool import cpus

        count = cpus.allowed()
        if not count:
            raise NotImplementedError("cannot determine number of cpus")
        return count

    if not TYPE_CHECKING:  # its overloads: `_typed.context`

        def get_context(self, method=None):
            """Return the context of a start method, this one for None.

            Raises:
                ValueError: there is no such start method.
            """
            if method is None:
                return self._chosen()
            try:
                return _concrete_contexts[method]
            except (KeyError, TypeError) as error:
                further = _further_context(method) if isinstance(method, str) else None
                if further is not None:
                    return further
                known = ", ".join(_concrete_contexts)
                kind = ValueError if isinstance(error, KeyError) else TypeError
                raise kind(f"cannot find context for {method!r}: the start methods are {known}") from None

    def get_start_method(self, allow_none: bool = False) -> "str | None":
        """Return the name of the start method: that of this context, whatever `allow_none` is."""
        return self._name

    def set_start_method(self, method: "str | None", force: bool = False) -> None:
        """Only the default context's start method can be set: raises ValueError."""
        raise ValueError("cannot set start method of concrete context")

    @property
    def reducer(self) -> "ModuleType":
        """The module that pickles for children."""
        return globals().get("_reducer") or _default_reducer()

    @reducer.setter
    def reducer(self, reduction: "ModuleType") -> None:
        globals()["_reducer"] = reduction

    def _check_available(self):
        pass

    def _chosen(self):
        """Return the context that `get_context` returns for None."""
        return self


def _default_reducer():
    from procession import reduction

    return reduction


_standard_twins: "dict[type, type]" = {}


def _also_standard(cls, base):
    twin = _standard_twins.get(cls)
    if twin is None:
        twin = _standard_twins[cls] = type(cls.__name__, (cls, base), {"__module__": cls.__module__})
    return twin


class Process(process.BaseProcess):
    """A process started by the default context's start method.

    Args:
        target: what the process calls, with `args` and `kwargs`; a subclass may define `run` instead.
        name: for people; by default made of the class's name and a number.
        daemon: whether the process is terminated when its parent exits; None takes the parent's value.
        settings: what the child has of its own, by name: `env`, `cwd`, `nice`, `cpu_affinity`, `max_memory`; see
            `procession.process.BaseProcess`, which has the methods, too.
    """

    _start_method = None

    @staticmethod
    def _Popen(process_obj):
        return _default_context.get_context().Process._Popen(process_obj)


class ForkProcess(process.BaseProcess):
    """A process that starts as a copy of its parent; its arguments are those of `BaseProcess`."""

    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj):
        return (_popen_fork or _load_popen_fork())(process_obj)


_popen_fork = None  # loaded with the first one; an import that finds its module costs each fork a dozen pages


def _load_popen_fork():
    global _popen_fork
    from procession._children.popen_fork import Popen

    _popen_fork = Popen
    return Popen


class SpawnProcess(process.BaseProcess):
    """A process that starts as a fresh interpreter; its arguments are those of `BaseProcess`."""

    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj):
        from procession._children.popen_spawn import Popen

        return Popen(process_obj)


class ForkServerProcess(process.BaseProcess):
    """A process that starts as a copy of the forkserver, which has imported the main module; its arguments are those of
    `BaseProcess`."""

    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj):
        from procession._children.popen_forkserver import Popen

        return Popen(process_obj)


if not TYPE_CHECKING:
    _Concrete = BaseContext


class ForkContext(_Concrete):
    """The context of start method fork."""

    _name = "fork"
    Process = ForkProcess


class SpawnContext(_Concrete):
    """The context of start method spawn."""

    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(_Concrete):
    """The context of start method forkserver."""

    _name = "forkserver"
    Process = ForkServerProcess


_concrete_contexts = {"fork": ForkContext(), "spawn": SpawnContext(), "forkserver": ForkServerContext()}
# Contexts that are imported when asked for: the module, which has `CONTEXT`, and the extra of this package that it
# needs. Others are objects that entry points of the group `procession_contexts` name.
FURTHER: "dict[str, tuple[str, str]]" = {
    "dask": ("procession._cluster.dask", "dask"),
    "mpi": ("procession._cluster.mpi", "mpi"),
    "ray": ("procession._cluster.ray", "ray"),
}


def _further_context(name):
    """Return a context of `FURTHER` or of an entry point, None where there is none of that name.

    Raises:
        ImportError: what it needs is not installed.
    """
    row = FURTHER.get(name)
    if row is None:
        from importlib.metadata import entry_points

        for entry in entry_points(group="procession_contexts"):
            if entry.name == name:
                return entry.load()
        return None
    module, extra = row
    try:
        __import__(module)
    except ImportError as error:
        text = f'get_context({name!r}) needs what is not installed ({error}): pip install "procession[{extra}]"'
        raise ImportError(text, name=error.name) from error
    return sys.modules[module].CONTEXT


class DefaultContext(BaseContext):
    """The context behind the package's own functions; its start method can be set, once."""

    Process = Process

    def __init__(self, context: "BaseContext") -> None:
        self._default_context = context
        self._actual_context: Any = None

    def __reduce__(self):
        return _get_default_context, ()

    @property
    def _elsewhere(self):
        chosen = self._actual_context
        return None if chosen is None or chosen.crew is None else chosen

    def _chosen(self):
        """Fix the start method, and return its context."""
        if self._actual_context is None:
            self._actual_context = self._default_context
        return self._actual_context

    def set_start_method(self, method: "str | None", force: bool = False) -> None:
        """Set the start method of all that asks for none, once, before the first child.

        Args:
            method: "fork", "spawn" or "forkserver"; None, with `force`, goes back to the default.
            force: whether one that is set already may be replaced.

        Raises:
            RuntimeError: it is set already and `force` is false.
            ValueError: there is no such start method.
        """
        if self._actual_context is not None and not force:
            if getattr(process.current_process(), "_inheriting", False):
                from procession.spawn import _check_not_importing_main

                _check_not_importing_main()
            raise RuntimeError("context has already been set")
        if method is None and force:
            self._actual_context = None
            return
        self._actual_context = self.get_context(method)

    def get_start_method(self, allow_none: bool = False) -> "str | None":
        """Return the name of the start method, and fix it; with `allow_none`, None while it is not fixed."""
        if self._actual_context is None:
            if allow_none:
                return None
            self._actual_context = self._default_context
        return self._actual_context._name

    def get_all_start_methods(self) -> "list[str]":
        """Return the names of the start methods, the default one first."""
        return sorted(_concrete_contexts, key=lambda name: name != self._default_context._name)

    def _take_over(self, standard_context):
        """Have the default start method that another default context has, and the one that it was set to, if any."""
        self._default_context = _concrete_contexts[standard_context.get_all_start_methods()[0]]
        fixed = standard_context.get_start_method(allow_none=True)
        if fixed is not None and self._actual_context is None:
            self._actual_context = _concrete_contexts[fixed]


_default_context = process._default_context = DefaultContext(_concrete_contexts[DEFAULT_START_METHOD])
get_context = _default_context.get_context


def _get_default_context():
    return _default_context
