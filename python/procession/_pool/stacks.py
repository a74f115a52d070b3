"""Python stacks of workers: on request, and of those that crash. They work while a worker is stuck in C code.

The signal handlers of `faulthandler` write into the end of a worker's own memory, where its parent reads.
"""

import _signal  # without the enums of `signal`
import faulthandler
import time

__all__ = ["dump", "listen"]

# Has a worker write its stacks into its file.
STACKS = _signal.SIGRTMIN + 8
# A report that has not grown for so long is complete.
QUIET_S = 0.02


def listen(descriptor):
    """In the worker: write the stacks to a descriptor when asked for them, and before a crash."""
    faulthandler.enable(file=descriptor, all_threads=True)
    faulthandler.register(STACKS, file=descriptor, all_threads=True, chain=False)


def dump(crew, limit):
    """Return the stacks of all workers as text, as far as they answer within `limit` seconds."""
    from procession._pool.texts import call_text  # which no worker needs

    # A worker that has started has its signal handlers, also where its pool has not heard of that yet.
    found = {seat: (state != "starting", task) for seat, _, state, _, _, _, task, _ in crew.core.survey()[0]}
    members = {seat: member for seat, member in dict(crew.members).items() if member.report is not None}
    for seat, member in members.items():
        member.report.rewind()
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
        grown = member.report.size()
        if grown != size:
            size, since = grown, now
        elif size and now - since >= QUIET_S:
            break
        if now >= until or member.process.exitcode is not None:
            break
        time.sleep(0.002)
    return member.report.text().decode(errors="replace")
