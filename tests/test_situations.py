"""Awkward situations that a pool, its objects and its program may be in, under every start method."""

import procession
import pytest

from benches.faults.situations.runner import CATALOG, run

# What starts process after process, to find moments that are rare, finds more of them by the quicker methods;
# `python -m benches.faults.situations` tries all.
QUICKLY = ["a_lock_under_fire", "writers_killed_at_random", "readers_killed_at_random", "deaths_by_every_signal"]
QUICKLY += ["three_hundred_deaths_in_a_row", "workers_killed_while_the_pool_ends"]
CELLS = [
    (name, method)
    for name in CATALOG
    for method in procession.get_all_start_methods()
    if not (name in QUICKLY and method == "spawn")
]


@pytest.mark.parametrize("name, start_method", CELLS)
def test_procession_copes_with(name, start_method):
    verdict = run(name, start_method)
    assert verdict.ok, f"{verdict.what}\n{verdict.detail}"


def test_a_situation_that_fails_is_told():
    verdict = run("no_such_situation", "fork")
    assert not verdict.ok and "KeyError" in verdict.detail
