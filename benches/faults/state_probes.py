"""Probe 22: what workers have of the thread that made their pool, those that replace others, too."""

import decimal

from benches.faults import tasks
from benches.faults.libraries import NotOffered
from benches.faults.limits import limit
from benches.faults.verdict import ANSWER_LIMIT_S, Fault

DIGITS = 50
TASKS = 8


def replaced_workers_context(probe):
    """22 workers replaced after each task have the maker's context"""
    if not hasattr(probe.library, "short_lived"):
        raise NotOffered
    with decimal.localcontext() as context:
        context.prec = DIGITS
        pool = probe.library.short_lived(2, 1)
        probe.say("waiting for tasks")
        # One by one and together: whoever waits may be who starts the next worker.
        found = [pool.submit(tasks.digits, number).get(limit(ANSWER_LIMIT_S)) for number in range(TASKS)]
        found += pool.map(tasks.digits, range(TASKS), limit(ANSWER_LIMIT_S))
        probe.say("closing the pool")
        pool.close()
    if len(set(found)) != 1:
        raise Fault(f"{found[0]} digits, then {next(number for number in found if number != found[0])}", found)
    return f"ok, {found[0]} digits"


PROBES = {22: replaced_workers_context}
