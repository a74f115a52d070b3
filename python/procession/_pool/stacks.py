"""Python stacks of workers: on request, and of those that crash. They work while a worker is stuck in C code.

Each worker has an anonymous file, which the signal handlers of `faulthandler` write into and the parent reads.
"""

import _signal  # without the enums of `signal`
import faulthandler
import os
import time

from procession._pool.texts import call_text
from procession._procession import memory_file

__all__ = ["dump", "last_words", "listen", "report_file"]

# Has a worker write its stacks into its file.
STACKS = _signal.SIGRTMIN + 8
# A file that has not grown for so long is complete.
QUIET_S = 0.02
_MOST_BYTES = 1 << 20


def report_file():
    """Return the descriptor of a new worker's file."""
    return memory_file("procession-stacks")


def listen(descriptor):
    """In the worker: write the stacks into the file when asked for them, and before a crash."""
    faulthandler.enable(file=descriptor, all_threads=True)
    faulthandler.register(STACKS, file=descriptor, all_threads=True, chain=False)


def last_words(descriptor):
    """Return what a worker that has died wrote into its file."""
    return os.pread(descriptor, _MOST_BYTES, 0).decode(errors="replace")


def dump(crew, limit):
    """Return the stacks of all workers as text, as far as they answer within `limit` seconds."""
    # Whoever has started has its signal handlers, also where its pool has not heard of that yet.
    found = {seat: (state != "starting", task) for seat, _, state, _, _, _, task, _ in crew.core.survey()[0]}
    members = {seat: member for seat, member in dict(crew.members).items() if member.report is not None}
    for seat, member in members.items():
        # One offset for both sides: the next stacks begin at the start again.
        os.ftruncate(member.report, 0)
        os.lseek(member.report, 0, os.SEEK_SET)
        if found.get(seat, (False, None))[0] and member.process._popen is not None:
            member.process._popen._send_signal(STACKS)
    until = time.monotonic() + limit
    pieces = []
    for seat, member in members.items():
        started, task = found.get(seat, (False, None))
        doing = "has no task" if task is None else f"runs {call_text(*task)}"
        if not started:
            doing = "is starting"
        pieces.append(f"worker {member.process.name} (pid {member.process.pid}) {doing}\n")
        if started:
            pieces.append(_answer(member, until) or f"  no answer within {limit:g} s\n")
        pieces.append("\n")
    return "".join(pieces)


def _answer(member, until):
    size, since = 0, time.monotonic()
    while True:
        now = time.monotonic()
        grown = os.fstat(member.report).st_size
        if grown != size:
            size, since = grown, now
        elif size and now - since >= QUIET_S:
            break
        if now >= until or member.process.exitcode is not None:
            break
        time.sleep(0.002)
    return last_words(member.report)
