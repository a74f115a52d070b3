"""Awkward situations that a pool, its objects and its program may be in, under every start method."""

import procession
import pytest

from benches.faults.situations.runner import CATALOG, run


@pytest.mark.parametrize("start_method", procession.get_all_start_methods())
@pytest.mark.parametrize("name", CATALOG)
def test_procession_copes_with(name, start_method):
    verdict = run(name, start_method)
    assert verdict.ok, f"{verdict.what}\n{verdict.detail}"


def test_a_situation_that_fails_is_told():
    verdict = run("no_such_situation", "fork")
    assert not verdict.ok and "KeyError" in verdict.detail
