"""SIGINT in a worker: what a task sends to its own process is meant for it, what others send for its parent."""

import os
import signal
import time

import pytest
from procession.futures import ProcessPoolExecutor
from tasks.signals import OWN_INTERRUPTS, be_interrupted, interrupt_oneself, say_and_spin, set_and_restore_a_handler

LIMIT_S = 60


@pytest.fixture
def pool(context):
    with context.Pool(1) as pool:
        yield pool
    pool.join()


def interrupt_from_here(pool, path):
    """Send SIGINT to a task while it runs; return how it ended."""
    result, end = pool.apply_async(say_and_spin, (str(path),)), time.monotonic() + LIMIT_S
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(int(path.read_text()), signal.SIGINT)
    path.with_name(path.name + ".end").touch()
    return result.get(LIMIT_S)


@pytest.mark.parametrize("how", OWN_INTERRUPTS)
def test_a_task_that_interrupts_its_own_process_gets_a_keyboard_interrupt(pool, how):
    worker = pool.apply(os.getpid)
    assert pool.apply_async(interrupt_oneself, (how,)).get(LIMIT_S) is True
    assert pool.apply(os.getpid) == worker


def test_an_interrupt_that_a_task_does_not_catch_comes_out_where_its_result_is_asked_for(pool):
    worker = pool.apply(os.getpid)
    with pytest.raises(KeyboardInterrupt):
        pool.apply_async(be_interrupted).get(LIMIT_S)
    assert pool.apply(os.getpid) == worker


def test_a_call_of_an_executor_can_interrupt_itself(context):
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(interrupt_oneself, "kill").result(LIMIT_S) is True


def test_an_interrupt_from_elsewhere_does_nothing_in_a_task(pool, tmp_path):
    assert interrupt_from_here(pool, tmp_path / "said") == "went on"


def test_nor_does_it_after_a_task_has_set_a_handler_and_taken_it_back(pool, tmp_path):
    pool.apply(set_and_restore_a_handler)
    assert interrupt_from_here(pool, tmp_path / "said") == "went on"
    assert pool.apply_async(interrupt_oneself, ("raise_signal",)).get(LIMIT_S) is True
