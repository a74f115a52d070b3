"""A short soak: workers killed at random under random work. `scripts/campaign` runs it for longer."""

import faulthandler
import sys

import procession
import pytest

from benches.faults.soak import Soak


@pytest.fixture
def quiet():
    """Keeps workers that are killed while they start from telling where, hundreds of times."""
    faulthandler.disable()
    yield
    faulthandler.enable(sys.__stderr__)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_every_task_has_one_outcome_while_workers_are_killed(method):
    soak = Soak(method, seed=11)
    soak.run(seconds=3, kills=4)
    assert soak.kills > 3 and soak.tasks > 10 and soak.pools > 0
