"""Awkward situations that a pool, its objects and its program may be in, under every start method."""

import procession
import pytest

from benches.faults.situations import ALONE
from benches.faults.situations.runner import CATALOG, LIMIT_S, run

# What starts process after process, to find moments that are rare, finds more of them by the quicker methods;
# `python -m benches.faults.situations` tries all, each in a process of its own.
QUICKLY = ["a_lock_under_fire", "writers_killed_at_random", "readers_killed_at_random", "deaths_by_every_signal"]
QUICKLY += ["workers_killed_while_the_pool_ends"]
# What tests/test_limits.py tries.
ELSEWHERE = ["three_hundred_deaths_in_a_row"]


def cells():
    """Yield names of situations, which one process tries in turn, with a start method."""
    for method in procession.get_all_start_methods():
        by_area = {}
        for name, function in CATALOG.items():
            if name in ALONE:
                yield pytest.param([name], method, id=f"{name}-{method}")
            elif name not in ELSEWHERE and not (name in QUICKLY and method == "spawn"):
                by_area.setdefault(function.__module__.rpartition(".")[2], []).append(name)
        for area, names in by_area.items():
            yield pytest.param(names, method, id=f"{area}-{method}")


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("names, start_method", list(cells()))
def test_procession_copes_with(names, start_method):
    verdict = run(names, start_method)
    assert verdict.ok, f"{verdict.what}\n{verdict.detail}"


def test_a_situation_that_fails_is_told():
    verdict = run(["no_such_situation"], "fork")
    assert not verdict.ok and "KeyError" in verdict.detail
