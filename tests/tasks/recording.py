"""What workers do for the tests of recordings."""

import os
import time

import procession


def spin(seconds):
    """Compute for so long; say how long that was."""
    begun = time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds:
        pass
    return now - begun


def same(value):
    return value


def fail_at_seven(item):
    if item == 7:
        raise ValueError("seven </script>")
    return bytes(1000)


class Untold(Exception):
    """Whose text cannot be asked for in the process that it names: Ctrl-C comes."""

    def __str__(self):
        if os.getpid() == self.args[0]:
            raise KeyboardInterrupt
        return "untold"


def fail_untold(pid):
    raise Untold(pid)


def die_at_three(item):
    if item == 3:
        os.abort()


def held(name):
    """Wait for an event that the initializer has kept."""
    _kept.wait()


_kept = None


def keep(event):
    global _kept
    _kept = event


def pool_within(count):
    with procession.get_context("fork").Pool(1) as pool:
        return sum(pool.map(same, range(count)))
