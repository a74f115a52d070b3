"""Small services that the other modules share, under the names of the standard module: the end of a process, its
standard streams, descriptors, the temporary directory, and what _logs.py and _finalize.py have."""

import atexit
import os
import sys

from procession import _finalize, _logs, _standard
from procession._finalize import (
    Finalize,
    ForkAwareLocal,
    ForkAwareThreadLock,
    _finalizer_registry as _finalizer_registry,
    _run_after_forkers as _run_after_forkers,
    _run_finalizers as _run_finalizers,
    register_after_fork,
)
from procession._logs import (
    DEBUG as DEBUG,
    DEFAULT_LOGGING_FORMAT as DEFAULT_LOGGING_FORMAT,
    INFO as INFO,
    LOGGER_NAME as LOGGER_NAME,
    NOTSET as NOTSET,
    SUBDEBUG,
    SUBWARNING,
    WARNING as WARNING,
    debug,
    info,
    sub_debug,
    sub_warning,
    warn,
)
from procession._procession import duplicate_above, empty_stdin

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any

__all__ = [
    "sub_debug", "debug", "info", "sub_warning", "get_logger", "log_to_stderr", "get_temp_dir",
    "register_after_fork", "is_exiting", "Finalize", "ForkAwareThreadLock", "ForkAwareLocal",
    "close_all_fds_except", "SUBDEBUG", "SUBWARNING", "warn",
]  # fmt: skip


TERMINATE_GRACE_SECONDS = 5.0


def __getattr__(name: str) -> "Any":
    if name == "_afterfork_registry":
        return _finalize._afterfork_registry
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_logger() -> "logging.Logger":
    """Return the logger of this package; it has no handler until `log_to_stderr` or the program adds one."""
    logger = _logs.get_logger()
    # Logging's own exit function has to come after ours, which logs.
    atexit.unregister(_exit_function)
    atexit.register(_exit_function)
    return logger


def log_to_stderr(level: int | str | None = None) -> "logging.Logger":
    """Add a handler that prints to stderr, set the level unless None, and return the logger."""
    get_logger()
    return _logs.log_to_stderr(level)


def abstract_sockets_supported() -> bool:
    """Return whether the platform has socket names that are not files; none is ever used by this package."""
    return sys.platform == "linux"


def is_abstract_socket_namespace(address: object) -> bool:
    """Return whether a socket's address is in the abstract namespace."""
    if not address:
        return False
    if isinstance(address, bytes):
        return address[0] == 0
    if isinstance(address, str):
        return address[0] == "\0"
    raise TypeError(f"address type of {address!r} unrecognized")


def get_temp_dir() -> str:
    """Return a directory, private to this user, that goes away with the process that first asked for it.

    Sockets lie there, whose paths are short by the system's limit: where the temporary directory of the system has too
    long a name, `/tmp` or `/var/tmp` is taken.

    Raises:
        OSError: no such directory can be written to.
    """
    from procession.process import current_process

    config = current_process()._config
    path = config.get("tempdir")
    if path is None:
        import tempfile

        path = tempfile.mkdtemp(prefix="procession-", dir=_short_directory(tempfile.gettempdir()))
        info("created temp directory %s", path)
        Finalize(None, _remove_temp_dir, (path,), exitpriority=-100)
        config["tempdir"] = path
    return path


# The longest path of a directory that leaves room for the names that are added: a socket's path has at most 107 bytes.
_LONGEST_DIRECTORY = 107 - len("/procession-12345678/listener-12345678")


def _short_directory(usual):
    """Return `usual`, or another directory for temporary files when a socket's path there would be too long."""
    if len(os.fsencode(usual)) <= _LONGEST_DIRECTORY:
        return usual
    for path in ("/tmp", "/var/tmp"):
        if os.access(path, os.W_OK | os.X_OK):
            warn("sockets lie in %s, as paths of sockets would be too long in %s", path, usual)
            return path
    raise OSError(
        f"no directory for sockets: their paths would be too long in {usual!r}, which may have {_LONGEST_DIRECTORY} "
        f"bytes, and neither /tmp nor /var/tmp can be written to; set TMPDIR to a directory with a shorter name"
    )


def _remove_temp_dir(path):
    import shutil

    from procession.process import current_process

    shutil.rmtree(path, ignore_errors=True)
    current_process()._config.pop("tempdir", None)


# -- the end of a process -------------------------------------------------------------------------------------------

_exiting = 0  # the id of the process that is on its way out; a copy of it is not


def is_exiting() -> bool:
    """Return whether the process is on its way out."""
    return _exiting == os.getpid()


def _exit_function():
    """End the children of this process: daemons are terminated, the others joined; run its finalizers around that."""
    global _exiting
    if is_exiting():
        return
    _exiting = os.getpid()
    info("process shutting down")
    _run_finalizers(0)
    process = sys.modules.get("procession.process")
    if process is not None and process.current_process() is not None:
        _end_children(process.active_children())
    _run_finalizers()
    _end_forkserver()
    if _standard.FROZEN:
        _end_tracker()


def _end_tracker():
    # The files that a program of one file has unpacked go away with it: a helper would miss those it has not read yet.
    tracker = sys.modules.get("procession.resource_tracker")
    if tracker is not None:
        tracker._resource_tracker._stop()


def _end_forkserver():
    # The tracker would notice by itself that this process has ended, but only afterwards.
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


_stuck: tuple = ()  # the standard streams that could not be flushed


def _flush_std_streams():
    global _stuck
    if _stuck:
        _stuck = ()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError):
            pass
        except OSError:
            _stuck += (stream,)


_USUALLY_FREE = 48  # of the 64 numbers for which a process has room from the beginning
_own_stdin = None  # the empty one that this process gave itself
_stdin_chore: tuple = ()  # what gives children of this process an empty one


def _stdin_chores():
    """Return the calls, as function and arguments, that give an empty stdin to a child: two processes must not read
    one. Those that were returned before, if they will do: what is there already need not be copied."""
    global _stdin_chore
    if sys.stdin is None:
        return ()
    if not _stdin_chore or _stdin_chore[0][1][1] is sys.stdin:  # a child has the one that it was given
        _stdin_chore = ((empty_stdin, (sys, *_stream_for_children(), _be_stdin)),)
    return _stdin_chore


def _stream_for_children():
    """Return a stream of an empty file, which is open in children only, and the number that it will have there; None
    and a number that no file has where it cannot be made."""
    descriptors = []
    try:
        descriptors.append(os.open(os.devnull, os.O_RDONLY))
        descriptors.append(duplicate_above(descriptors[0], _USUALLY_FREE))
        return open(descriptors[1], encoding="utf-8", closefd=False), descriptors[1]
    except (OSError, ValueError):
        return None, -1
    finally:
        close_fds(*descriptors)


def _be_stdin(descriptor):
    global _own_stdin
    try:
        sys.stdin = _own_stdin = open(descriptor, encoding="utf-8", closefd=False)
    except (OSError, ValueError):
        os.close(descriptor)


def _empty_stdin():
    """Give this process an empty stdin, unless it has it from the forkserver."""
    if sys.stdin is not None and sys.stdin is not _own_stdin:
        empty_stdin(sys, None, -1, _be_stdin)


def close_fds(*fds: int) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def close_all_fds_except(fds: "Iterable[int]") -> None:
    """Close every descriptor but those given."""
    limit = os.sysconf("SC_OPEN_MAX")
    kept = sorted({-1, *fds, limit})
    for low, high in zip(kept, kept[1:], strict=False):
        os.closerange(low + 1, high)


def spawnv_passfds(path: str | bytes, args: "Sequence[str | bytes]", passfds: "Collection[int]") -> int:
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
