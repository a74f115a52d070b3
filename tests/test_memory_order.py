"""What is written before a ring is seen by whoever was rung: a short form of what `scripts/campaign` tries for long."""

import time

import procession
import pytest

from benches.faults import memory_order

# As many rounds as there is time for: two processes that share a processor need long for each.
ROUNDS, SECONDS = 100_000, 3


@pytest.mark.parametrize("bell", memory_order.BELLS)
def test_what_is_written_before_a_ring_is_seen_by_whoever_was_rung(bell):
    # However the two were started, their words and their memory are the same.
    done, lost = memory_order.try_bell(bell, procession.get_context("fork"), ROUNDS, time.monotonic() + SECONDS)
    assert done > 0 and lost == 0
