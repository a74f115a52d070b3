"""No room for memory or files: an error where it was asked for, never a crash where it is touched."""

import errno
import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import time

import procession
import pytest
from procession import neutral
from procession._pool import crew
from procession._procession import PoolCore

LIMIT = 60
MIB = 1 << 20


def limit_files():
    """Let no file of this process, in memory or not, grow beyond 4 MiB."""
    # The signal's usual action would end the process before the call can fail.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))


def raised_by(attempt, limit=limit_files, told_of=lambda error: errno.errorcode.get(error.errno, str(error))):
    """Run `attempt` in a fork with the limit; return the errors' numbers or names that it told."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            limit()
            try:
                attempt()
                told = "nothing"
            except OSError as error:
                told = told_of(error)
            except BaseException as error:
                told = type(error).__name__
            os.write(writing, told.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        told = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"ended by signal {status & 127}"
    return told


ATTEMPTS = {
    "an array": lambda: procession.RawArray("b", 64 * MIB),
    "named shared memory": lambda: procession.shared_memory.SharedMemory(create=True, size=64 * MIB),
    "a shareable list": lambda: procession.shared_memory.ShareableList([b"x" * (64 * MIB)]),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_does_not_fit_is_an_error_at_the_call(attempt, monkeypatch):
    # Names of its own, as other programs use /dev/shm meanwhile.
    names = (f"procession-full-{os.getpid()}-{number}" for number in itertools.count())
    monkeypatch.setattr(procession.shared_memory, "_make_filename", lambda: f"/{next(names)}")
    assert raised_by(ATTEMPTS[attempt]) in ("EFBIG", "ENOSPC", "ENOMEM", "MemoryError")
    assert [name for name in os.listdir("/dev/shm") if name.startswith(f"procession-full-{os.getpid()}-")] == []


def limit_files_to_one():
    """Let no file of this process grow beyond 1 MiB, and an attempt end it, as it ends programs of other languages."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))


def run_with(method, *args):
    """Run a process with such arguments."""
    child = procession.get_context(method).Process(target=len, args=args)
    child.start()
    child.join()


SIZED = {
    "a pool": lambda: procession.get_context("fork").Pool(1),
    "a queue": lambda: procession.Queue(),
    "a neutral queue": lambda: neutral.Queue(),
    "an array": lambda: procession.RawArray("b", 4 * MIB),
    "a neutral slice": lambda: neutral.SharedSlice("d", MIB),
    "named shared memory": lambda: procession.shared_memory.SharedMemory(create=True, size=4 * MIB),
    "a shareable list": lambda: procession.shared_memory.ShareableList([b"x" * (4 * MIB)]),
    "arguments of a spawned process": lambda: run_with("spawn", b"x" * (4 * MIB)),
    "arguments of a forkserver's process": lambda: run_with("forkserver", b"x" * (4 * MIB)),
}


@pytest.mark.parametrize("attempt", SIZED)
def test_an_error_says_that_files_are_limited_and_how_much_is_needed(attempt, monkeypatch):
    # Names of its own, as other programs use /dev/shm meanwhile.
    names = (f"procession-full-{os.getpid()}-{number}" for number in itertools.count())
    monkeypatch.setattr(procession.shared_memory, "_make_filename", lambda: f"/{next(names)}")
    told = raised_by(SIZED[attempt], limit_files_to_one, lambda error: f"{error.errno} {error}")
    assert told.startswith(f"{errno.EFBIG} ") and "ulimit -f" in told
    need, limit = re.search(r"(\d+) bytes of shared memory, where a file may have (\d+):", told).groups()
    assert int(need) >= 4 * MIB and int(limit) == MIB
    assert [name for name in os.listdir("/dev/shm") if name.startswith(f"procession-full-{os.getpid()}-")] == []


FULL = """
import os, sys
sys.path.insert(0, {package!r})
import procession
try:
    procession.shared_memory.SharedMemory(create=True, size=64 << 20)
except OSError as error:
    print(error.errno, os.listdir("/dev/shm"))
small = procession.shared_memory.SharedMemory(create=True, size=1 << 16)
small.buf[-1] = 7
small.close()
small.unlink()
queue = procession.SimpleQueue()
queue.put(b"x" * (8 << 20))
print(len(queue.get()), os.listdir("/dev/shm"))
"""


def test_a_full_shared_memory_file_system_is_an_error_and_leaves_nothing():
    package = os.path.dirname(os.path.dirname(procession.__file__))
    program = [sys.executable, "-c", FULL.format(package=package)]
    # A /dev/shm of 1 MiB, which this program alone sees.
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"', "sh"]
    try:
        possible = subprocess.run([*mount, "true"], capture_output=True, timeout=LIMIT).returncode == 0
    except FileNotFoundError:
        possible = False
    if not possible:
        pytest.skip("a file system can be mounted by root alone, with unshare and mount installed")
    ran = subprocess.run([*mount, *program], capture_output=True, text=True, timeout=LIMIT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"{errno.ENOSPC} []", f"{8 * MIB} []"]


class RefusesToWatch:
    """The engine of a pool, on a machine where the first worker that is started cannot be watched."""

    def __init__(self, core):
        self.core = core
        self.refused = []

    def __getattr__(self, name):
        return getattr(self.core, name)

    def seated(self, index, sentinel, pid):
        if not self.refused:
            self.refused.append(pid)
            raise OSError(errno.EMFILE, "no descriptor left")
        return self.core.seated(index, sentinel, pid)


def test_a_worker_that_cannot_be_watched_is_ended_and_tried_again(context):
    with context.Pool(2) as pool:
        pool._crew.core = RefusesToWatch(pool._core)
        os.kill(pool._pool[0].pid, signal.SIGKILL)
        assert pool.map(abs, range(-50, 0)) == list(range(50, 0, -1))
        until = time.monotonic() + LIMIT
        while len(pool._pool) < 2 or not pool._crew.core.refused:
            assert time.monotonic() < until
            pool._repopulate_pool()
            time.sleep(0.005)
        with pytest.raises(ProcessLookupError):
            os.kill(pool._crew.core.refused[0], 0)
    pool.join()


def test_a_pool_whose_workers_cannot_be_watched_is_not_made(context, monkeypatch):
    made = []

    def refusing(*args):
        made.append(RefusesToWatch(PoolCore(*args)))
        return made[0]

    monkeypatch.setattr(crew, "PoolCore", refusing)
    with pytest.raises(OSError, match="no descriptor left"):
        context.Pool(2)
    with pytest.raises(ProcessLookupError):
        os.kill(made[0].refused[0], 0)
