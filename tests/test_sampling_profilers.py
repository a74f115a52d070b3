"""Programs that a sampling profiler looks at: a handler, a timer, and both again after each fork, for the child."""

import subprocess
import sys

import procession
import pytest

PROGRAM = """
import atexit
import os
import signal
import sys
import threading
import time

import procession

NUMBER, TIMER = getattr(signal, sys.argv[2]), getattr(signal, sys.argv[3])
samples = 0


def sample(number, frame):
    global samples
    samples += 1


def begin():
    signal.signal(NUMBER, sample)
    signal.setitimer(TIMER, 0.002, 0.002)


def busy(number):
    before, end = samples, time.monotonic() + 60
    while samples < before + 3:
        assert time.monotonic() < end, "no samples are taken in this process"
    return number * number


def begin_slowly():
    begin()
    end = time.monotonic() + 0.02
    while time.monotonic() < end:  # until the timer has sent its signal, which waits
        pass


begin()
atexit.register(signal.setitimer, TIMER, 0)  # the interpreter's end takes the handler, not the timer
os.register_at_fork(after_in_child=begin_slowly if sys.argv[4] == "slow" else begin)
if sys.argv[4] == "thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(pool.map(busy, range(6), chunksize=1))
    child = context.Process(target=busy, args=(1,))
    child.start()
    child.join()
    print(child.exitcode)
"""
SIGNALS = [("SIGALRM", "ITIMER_REAL"), ("SIGVTALRM", "ITIMER_VIRTUAL"), ("SIGPROF", "ITIMER_PROF")]


@pytest.mark.parametrize("method", procession.get_all_start_methods())
@pytest.mark.parametrize("beside", ["alone", "thread"])
@pytest.mark.parametrize("number, timer", SIGNALS)
def test_a_sampling_profiler_samples_children_and_ends_none(method, beside, number, timer, tmp_path):
    run(tmp_path, method, number, timer, beside)


@pytest.mark.parametrize("method", procession.get_all_start_methods())
@pytest.mark.parametrize("number, timer", SIGNALS)
def test_a_signal_that_a_timer_has_sent_before_the_child_begins_does_not_end_it(method, number, timer, tmp_path):
    run(tmp_path, method, number, timer, "slow")


def run(tmp_path, method, number, timer, how):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, method, number, timer, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[0, 1, 4, 9, 16, 25]\n0\n", done.stderr
