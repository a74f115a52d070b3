"""What is written before a ring is seen by whoever was rung: a short form of what `scripts/campaign` tries for long."""

import time

import pytest

from benches.faults import memory_order

# As many rounds as there is time for: two processes that share a processor need long for each.
ROUNDS, SECONDS = 100_000, 3


@pytest.mark.parametrize("bell", memory_order.BELLS)
def test_what_is_written_before_a_ring_is_seen_by_whoever_was_rung(context, bell):
    done, lost = memory_order.try_bell(bell, context, ROUNDS, time.monotonic() + SECONDS)
    assert done > 0 and lost == 0
