"""Waiting for what another thread or process does."""

import time


def until(found, what="it", limit_s=60):
    """Return what `found` returns as soon as that is true; fail after `limit_s`, saying `what` did not come."""
    end = time.monotonic() + limit_s
    while not (answer := found()):
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.005)
    return answer
