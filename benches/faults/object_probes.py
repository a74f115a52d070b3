"""Probes 13-16: locks, queues and segments whose users die, leave early or send what cannot be sent."""

import os
import signal
import subprocess
import sys
import threading
import warnings

from benches.faults.libraries import NotOffered
from benches.faults.limits import limit
from benches.faults.verdict import Fault

WAIT_LIMIT_S = 5
BIG = 10_000_000


def offered(probe, name):
    """A constructor of the library's context."""
    if probe.library.context is None or not hasattr(probe.library.context, name):
        raise NotOffered
    return getattr(probe.library.context, name)


def die_holding(lock, held):
    """Takes the lock and is killed."""
    lock.acquire()
    held.set()
    os.kill(os.getpid(), signal.SIGKILL)


def dead_owner(probe):
    """13 a lock's owner SIGKILLed"""
    lock, held = offered(probe, "Lock")(), offered(probe, "Event")()
    owner = offered(probe, "Process")(target=die_holding, args=(lock, held))
    owner.start()
    if not held.wait(limit(WAIT_LIMIT_S)):
        raise Fault("owner did not start")
    owner.join(limit(WAIT_LIMIT_S))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if not lock.acquire(timeout=limit(WAIT_LIMIT_S)):
            raise Fault("hangs", "the lock of a dead owner cannot be acquired")
    lock.release()
    return "ok" + "".join(f", {warning.category.__name__}" for warning in told)


def unpicklable_item(probe):
    """14 `put()` of an unpicklable object"""
    queue = offered(probe, "Queue")()
    try:
        queue.put(threading.Lock())
    except Exception:
        queue.put(1)
        if queue.get(timeout=limit(WAIT_LIMIT_S)) != 1:
            raise Fault("the queue is spoilt")
        return
    raise Fault("lost silently")


def put_big(queue):
    """Puts more than any pipe holds."""
    queue.put(b"x" * BIG)


def joined_before_read(probe):
    """15 child put 10 MB and is joined before anyone reads"""
    queue = offered(probe, "Queue")()
    child = offered(probe, "Process")(target=put_big, args=(queue,))
    child.start()
    child.join(limit(WAIT_LIMIT_S))
    joined = child.exitcode
    length = len(queue.get(timeout=limit(WAIT_LIMIT_S)))
    child.join(limit(WAIT_LIMIT_S))
    if joined is None:
        raise Fault("deadlock", "the child was not joined before its item was read")
    if joined or length != BIG:
        raise Fault("spoilt", f"exit code {joined}, {length} bytes")


READER = """
from importlib import import_module
memory = import_module({module!r}).SharedMemory(name={name!r})
assert bytes(memory.buf[:5]) == b"hello"
memory.close()
"""


def reader_that_exits(probe):
    """16 the one reader of a segment exits"""
    module = f"{probe.name}.shared_memory"
    if probe.name == "billiard" or probe.library.context is None:
        raise NotOffered
    from importlib import import_module

    shared_memory = import_module(module)
    memory = shared_memory.SharedMemory(create=True, size=4096)
    try:
        memory.buf[:5] = b"hello"
        program = READER.format(module=module, name=memory.name)
        for _ in range(2):
            reader = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=limit(WAIT_LIMIT_S)
            )
            if reader.returncode:
                raise Fault("segment deleted", reader.stderr)
    finally:
        memory.close()
        try:
            memory.unlink()
        except FileNotFoundError:
            pass


PROBES = {13: dead_owner, 14: unpicklable_item, 15: joined_before_read, 16: reader_that_exits}
