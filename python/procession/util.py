"""Small services that the other modules share: finalizers, objects told of a fork, logging, the temporary directory."""

import atexit
import itertools
import os
import sys
import threading
import weakref

__all__ = [
    "sub_debug", "debug", "info", "sub_warning", "get_logger", "log_to_stderr", "get_temp_dir",
    "register_after_fork", "is_exiting", "Finalize", "ForkAwareThreadLock", "ForkAwareLocal",
    "close_all_fds_except", "SUBDEBUG", "SUBWARNING",
]  # fmt: skip

NOTSET = 0
SUBDEBUG = 5
DEBUG = 10
INFO = 20
SUBWARNING = 25
WARNING = 30

LOGGER_NAME = "multiprocessing"  # what programs written for the standard library configure
DEFAULT_LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

TERMINATE_GRACE_SECONDS = 5.0

_logger = None
_log_to_stderr = False


def sub_debug(message, *args):
    """Log at a level below DEBUG."""
    _log(SUBDEBUG, message, args)


def debug(message, *args):
    """Log at level DEBUG."""
    _log(DEBUG, message, args)


def info(message, *args):
    """Log at level INFO."""
    _log(INFO, message, args)


def sub_warning(message, *args):
    """Log at a level below WARNING."""
    _log(SUBWARNING, message, args)


def warn(message, *args):
    """Log at level WARNING."""
    _log(WARNING, message, args)


def _log(level, message, args):
    if _logger:
        _logger.log(level, message, *args, stacklevel=3)


def get_logger():
    """Return the logger of this package; it has no handler until `log_to_stderr` or the program adds one."""
    global _logger
    if _logger is None:
        import logging

        logger = logging.getLogger(LOGGER_NAME)
        logger.propagate = False
        logging.addLevelName(SUBDEBUG, "SUBDEBUG")
        logging.addLevelName(SUBWARNING, "SUBWARNING")
        # Logs of finalizers that run at exit need logging's own exit function to come after ours.
        atexit.unregister(_exit_function)
        atexit.register(_exit_function)
        _logger = logger
    return _logger


def log_to_stderr(level=None):
    """Add a handler that prints to stderr, set the level unless None, and return the logger."""
    global _log_to_stderr
    import logging

    logger = get_logger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(DEFAULT_LOGGING_FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    _log_to_stderr = True
    return logger


def abstract_sockets_supported():
    """Return whether the platform has socket names that are not files; none is ever used by this package."""
    return sys.platform == "linux"


def is_abstract_socket_namespace(address):
    """Return whether a socket's address is in the abstract namespace."""
    if not address:
        return False
    if isinstance(address, bytes):
        return address[0] == 0
    if isinstance(address, str):
        return address[0] == "\0"
    raise TypeError(f"address type of {address!r} unrecognized")


def get_temp_dir():
    """Return a directory, private to this user, that goes away with the process that first asked for it."""
    from procession.process import current_process

    config = current_process()._config
    path = config.get("tempdir")
    if path is None:
        import tempfile

        path = tempfile.mkdtemp(prefix="procession-")
        info("created temp directory %s", path)
        Finalize(None, _remove_temp_dir, (path,), exitpriority=-100)
        config["tempdir"] = path
    return path


def _remove_temp_dir(path):
    import shutil

    from procession.process import current_process

    shutil.rmtree(path, ignore_errors=True)
    current_process()._config.pop("tempdir", None)


# -- objects that are told of a fork --------------------------------------------------------------------------------

_afterfork_registry = weakref.WeakValueDictionary()
_afterfork_counter = itertools.count()


def register_after_fork(obj, func):
    """Have `func(obj)` called in each child that this package forks, while `obj` lives."""
    _afterfork_registry[(next(_afterfork_counter), id(obj), func)] = obj


def _run_after_forkers():
    for (_, _, func), obj in sorted(_afterfork_registry.items(), key=lambda item: item[0][0]):
        try:
            func(obj)
        except Exception as error:
            info("after fork, %s raised %s", func, error)


class ForkAwareThreadLock:
    """A thread lock that is free in a child, whoever held it in the parent."""

    def __init__(self):
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._at_fork_reinit)

    def _at_fork_reinit(self):
        self._lock._at_fork_reinit()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)


class ForkAwareLocal(threading.local):
    """Thread-local attributes that are gone in a child."""

    def __init__(self):
        register_after_fork(self, lambda obj: obj.__dict__.clear())

    def __reduce__(self):
        return type(self), ()


# -- finalizers -----------------------------------------------------------------------------------------------------

_finalizer_registry = {}
_finalizer_counter = itertools.count()


class Finalize:
    """Calls something once: when an object goes away, when called, or at exit.

    Args:
        obj: whose end triggers the call; None for none.
        callback, args, kwargs: what is called.
        exitpriority: larger ones run earlier at exit; None does not run at exit.
    """

    def __init__(self, obj, callback, args=(), kwargs=None, exitpriority=None):
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"exitpriority must be None or int, not {type(exitpriority).__name__}")
        if obj is None and exitpriority is None:
            raise ValueError("a finalizer without an object needs an exitpriority")
        self._weakref = weakref.ref(obj, self) if obj is not None else None
        self._callback = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._key = (exitpriority, next(_finalizer_counter))
        self._pid = os.getpid()
        _finalizer_registry[self._key] = self

    def __call__(self, wr=None):
        """Run the callback unless it has run, or belongs to the parent process."""
        if _finalizer_registry.pop(self._key, None) is None:
            sub_debug("finalizer no longer registered")
            return None
        callback, args, kwargs = self._callback, self._args, self._kwargs
        self._forget()
        if self._pid != os.getpid():
            sub_debug("finalizer ignored because different process")
            return None
        sub_debug("finalizer calls %s", callback)
        return callback(*args, **kwargs)

    def cancel(self):
        """Never run the callback."""
        if _finalizer_registry.pop(self._key, None) is not None:
            self._forget()

    def _forget(self):
        self._weakref = self._callback = self._args = self._kwargs = None

    def still_active(self):
        """Return whether the callback may still run."""
        return self._key in _finalizer_registry

    def __repr__(self):
        callback = self._callback
        if callback is None:
            return f"<{type(self).__name__} object, dead>"
        return f"<{type(self).__name__} object, callback={getattr(callback, '__name__', callback)}>"


def _run_finalizers(minpriority=None):
    """Run the finalizers that have an exit priority, of at least `minpriority` unless None, the highest first."""
    # A copy by list() is atomic: other threads and the garbage collector change the registry meanwhile.
    due = [k for k in list(_finalizer_registry) if k[0] is not None and (minpriority is None or k[0] >= minpriority)]
    for key in sorted(due, reverse=True):
        finalizer = _finalizer_registry.get(key)
        if finalizer is None:
            continue
        try:
            finalizer()
        except Exception:
            import traceback

            traceback.print_exc()
    if minpriority is None:
        _finalizer_registry.clear()


# -- the end of a process -------------------------------------------------------------------------------------------

_exiting = False


def is_exiting():
    """Return whether the process is on its way out."""
    return _exiting


def _exit_function():
    """End the children: daemons are terminated, the others joined; run the finalizers around that."""
    global _exiting
    if _exiting:
        return
    _exiting = True
    info("process shutting down")
    _run_finalizers(0)
    process = sys.modules.get("procession.process")
    if process is not None and process.current_process() is not None:
        _end_children(process.active_children())
    _run_finalizers()
    _end_forkserver()


def _end_forkserver():
    # It would notice by itself that this process has ended, but only afterwards.
    forkserver = sys.modules.get("procession.forkserver")
    if forkserver is not None:
        forkserver._forkserver._stop()


def _end_children(children):
    import time

    daemons = [child for child in children if child.daemon]
    for child in daemons:
        info("terminating daemonic process %s", child.name)
        child._popen.terminate()
    end = time.monotonic() + TERMINATE_GRACE_SECONDS
    for child in daemons:
        child._popen.wait(max(0, end - time.monotonic()))
        if child._popen.poll() is None:
            info("killing daemonic process %s, which took no notice of SIGTERM", child.name)
            child._popen.kill()
    for child in children:
        info("joining process %s", child.name)
        child.join()


atexit.register(_exit_function)


# -- descriptors and standard streams -------------------------------------------------------------------------------


def _flush_std_streams():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass


def _close_stdin():
    """Give the child an empty stdin: two processes must not read one."""
    if sys.stdin is None:
        return
    try:
        sys.stdin.close()
    except (OSError, ValueError):
        pass
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        try:
            sys.stdin = open(descriptor, encoding="utf-8", closefd=False)
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError):
        pass


def close_fds(*fds):
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def close_all_fds_except(fds):
    """Close every descriptor but those given."""
    limit = os.sysconf("SC_OPEN_MAX")
    kept = sorted({-1, *fds, limit})
    for low, high in zip(kept, kept[1:], strict=False):
        os.closerange(low + 1, high)


def spawnv_passfds(path, args, passfds):
    """Run a program that keeps the descriptors `passfds` at their numbers; return its process id."""
    import subprocess

    return subprocess.Popen(args, executable=path, pass_fds=passfds).pid


def _cleanup_tests():
    """End the helper processes; the interpreter's test-suite calls this."""
    import gc

    _end_forkserver()
    tracker = sys.modules.get("procession.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._stop()
    _run_finalizers()
    gc.collect()
    try:
        from test import support
    except ImportError:
        return
    support.reap_children()
