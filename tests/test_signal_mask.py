"""A child blocks the signals that the thread blocks that starts it."""

import os
import signal
from contextlib import contextmanager

from tasks import signals

LIMIT = 60


@contextmanager
def blocking(*numbers):
    """Block signals in this thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_child_may_wait_for_a_signal_that_its_parent_blocked_before_the_start(context):
    ours, theirs = context.Pipe()
    with blocking(signal.SIGUSR1, signal.SIGRTMAX):
        child = context.Process(target=signals.await_signal, args=(theirs,))
        child.start()
        os.kill(child.pid, signal.SIGUSR1)  # at once: it is blocked from the first moment on
    assert ours.poll(LIMIT) and ours.recv() == [signal.SIGUSR1, signal.SIGRTMAX]
    assert ours.poll(LIMIT) and ours.recv() is True
    child.join(LIMIT)
    assert child.exitcode == 0


def test_a_child_blocks_ctrl_c_if_its_parent_did_and_nothing_otherwise(context):
    for numbers in ((signal.SIGINT,), (), (signal.SIGTERM, signal.SIGHUP)):
        ours, theirs = context.Pipe()
        with blocking(*numbers):
            child = context.Process(target=signals.await_signal, args=(theirs,))
            child.start()
        assert ours.poll(LIMIT) and ours.recv() == sorted(numbers)
        child.kill()
        child.join(LIMIT)


def test_workers_of_a_pool_block_nothing_whoever_made_it(context):
    with blocking(signal.SIGUSR1, signal.SIGTERM), context.Pool(2) as pool:
        assert pool.map(signals.blocked, range(4)) == [[]] * 4
